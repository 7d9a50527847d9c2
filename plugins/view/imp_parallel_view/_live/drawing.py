"""What ``imp-parallel top`` shows of runs. Pure but for rich's classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from imp_parallel_core import printable

from .._drawing import STYLES, Bar
from .._model import ContextCounts
from .._slaves import Doing
from .._words import duration, rate, shortened

_ERRORS = 5
_CONTEXTS = 8
_WIDTH = 80  # names may have any length, and must leave the other columns their room on this
_WIDEST_CONTEXT = 24
_WIDEST_SCRIPT = 16
_WIDEST_SLAVE = 12
_WIDEST_HOST = 18
_LONGEST_HEADING = 40
# those that people may want to do something about come first
_ORDER = (
    Doing.LOST,
    Doing.SILENT,
    Doing.SET_ASIDE,
    Doing.PAUSED,
    Doing.LEAVING,
    Doing.WORKING,
    Doing.SETTING_UP,
    Doing.IDLE,
    Doing.STARTING,
    Doing.QUEUED,
    Doing.NOT_NEEDED,
    Doing.ENDED,
)
_RANK = {doing.value: rank for rank, doing in enumerate(_ORDER)}
_STYLES = {doing.value: style for doing, style in STYLES.items()}


def list_of_runs(runs: Sequence[Mapping[str, Any]], width: int = _WIDTH) -> Table:
    """Return a line for each run.

    Args:
        runs: what their scripts have answered.
        width: how many columns the terminal has.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("pid", "script", "for", "done", "failed", "left", "time left", "slaves"):
        is_number = name in ("pid", "done", "failed", "left")
        is_long = name == "slaves"  # the only one that goes on in the next line
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=not is_long,
            min_width=None if is_long or name == "script" else 6,
            max_width=_widest(_WIDEST_SCRIPT, width) if name == "script" else None,
        )
    for run in runs:
        tasks = run["tasks"]
        table.add_row(
            str(run["pid"]),
            Text(_script(run)),
            duration(run["running_s"]),
            f"{tasks['done']:,}",
            Text(f"{tasks['failed']:,}", "bold red" if tasks["failed"] else ""),
            f"{tasks['left']:,}",
            duration(run["left_s"]) if run["left_s"] is not None else "",
            _slave_counts(run),
        )
    return table


def whole_run(run: Mapping[str, Any], height: int, width: int = _WIDTH) -> RenderableType:
    """Return one run with its contexts, slaves and last errors.

    Args:
        run: what its script has answered.
        height: how many lines there are.
        width: how many columns the terminal has.
    """
    errors = run["errors"][-_ERRORS:]
    contexts = [each for each in run["contexts"] if each["added"]][-_CONTEXTS:]
    used = 6 + len(contexts) + (len(errors) + 2 if errors else 0)
    parts: list[RenderableType] = [
        _in_one_line(_heading(run)),
        _contexts(contexts),
        _in_one_line(_tasks(run)),
        _in_one_line(_slave_line(run)),
        "",
    ]
    parts.append(_slaves(run, max(height - used, 3), width))
    if errors:
        parts += ["", Text("last errors", "bold")]
        parts += [
            _in_one_line(Text(f"{duration(each['ago_s'])} ago: {printable(each['error'])}"))
            for each in reversed(errors)
        ]
    return Group(*parts)


def _widest(on_narrow: int, width: int) -> int:
    """Return how wide a column of names may become, of which some are hardly ever long."""
    return on_narrow + max(width - _WIDTH, 0) // 3


def _script(run: Mapping[str, Any]) -> str:
    return printable(PurePath(run["script"]).name or "python")


def remark(text: str) -> Text:
    """Return a text that is said below what is shown."""
    return Text(text, "yellow")


def _in_one_line(text: Text) -> Text:
    """Have a text that is too long for the terminal end in dots, and not go on below."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _heading(run: Mapping[str, Any]) -> Text:
    script = Text(_script(run), "bold")
    script.truncate(_LONGEST_HEADING, overflow="ellipsis")
    place = f"on {printable(run['host'])}, in {printable(run['folder'])}"
    return script.append(
        f"  for {duration(run['running_s'])}, process {run['pid']} {place}", "not bold dim"
    )


def _contexts(contexts: Sequence[Mapping[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True, max_width=_WIDEST_CONTEXT, style="bold")
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, justify="right")
    for each in contexts:
        ended = each["done"] + each["failed"] + each["dropped"]
        counts = ContextCounts(
            0, "", ended + each["left"], each["done"], each["failed"], each["dropped"]
        )
        table.add_row(
            Text(shortened(printable(each["name"]), _WIDEST_CONTEXT)),
            Bar(counts),
            f"{ended:,} of {ended + each['left']:,}",
        )
    return table


def _tasks(run: Mapping[str, Any]) -> Text:
    tasks = run["tasks"]
    parts = [Text(f"{tasks['done']:,} done", "green")]
    if tasks["failed"]:
        parts.append(Text(f"{tasks['failed']:,} failed", "bold red"))
    parts.append(Text(f"{tasks['running']:,} running"))
    parts.append(Text(f"{max(tasks['left'] - tasks['running'], 0):,} waiting", "dim"))
    if run["rate_per_s"] is not None:
        parts.append(Text(rate(run["rate_per_s"]), "dim"))
    if run["left_s"] is not None:
        parts.append(Text(f"{duration(run['left_s'])} left"))
    return Text("tasks   ", "bold").append_text(Text(", ").join(parts))


def _slave_counts(run: Mapping[str, Any]) -> Text:
    counts = Counter(each["doing"] for each in run["slaves"])
    parts = [
        Text(f"{counts[doing.value]:,} {doing.value}", _STYLES.get(doing.value, "dim"))
        for doing in Doing
        if counts[doing.value]
    ]
    return Text(", ").join(parts) if parts else Text("none", "dim")


def _slave_line(run: Mapping[str, Any]) -> Text:
    return Text("slaves  ", "bold").append_text(_slave_counts(run))


def _slaves(run: Mapping[str, Any], lines: int, width: int) -> Table:
    names = {each["context"]: each["name"] for each in run["contexts"]}
    slaves = sorted(run["slaves"], key=lambda each: _RANK.get(each["doing"], len(_RANK)))
    shown = slaves if len(slaves) <= lines else slaves[: lines - 1]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", expand=True)
    widest = {"slave": _widest(_WIDEST_SLAVE, width), "host": _widest(_WIDEST_HOST, width)}
    for name in ("slave", "host", "is", "for", "tasks", "deaths"):
        is_number = name in ("tasks", "deaths")
        table.add_column(
            name,
            no_wrap=True,
            justify="right" if is_number else "left",
            max_width=widest.get(name),
        )
    table.add_column("at", no_wrap=True, ratio=1, overflow="ellipsis", min_width=4)
    for each in shown:
        at = each["detail"] or names.get(each["context"], "")
        table.add_row(
            Text(printable(each["slave"])),
            Text(printable(each["host"])),
            Text(each["doing"], _STYLES.get(each["doing"], "dim")),
            duration(each["for_s"]),
            f"{each['tasks_done']:,}",
            f"{each['deaths']:,}" if each["deaths"] else "",
            Text(printable(at)),
        )
    if len(shown) < len(slaves):
        table.add_row(Text(f"{len(slaves) - len(shown):,} more", "dim"))
    return table
