"""The tables of the page. All text from elsewhere is escaped here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape

from imp_parallel_core import printable

from .._slaves import Doing
from .._words import counted, duration, shortened, size
from .charts import css_class
from .history import OUTCOMES, History
from .idleness import Reason
from .statistics import Cause, SlaveTimes, slowest

SLAVES = 500
CONTEXTS = 200
_LONGEST_TEXT = 400
_LONGEST_NAME = 48


def text(anything: object) -> str:
    """Return text of others as HTML: printable, escaped, and not endless."""
    shown = printable(str(anything))
    if len(shown) > _LONGEST_TEXT:
        shown = f"{shown[:_LONGEST_TEXT]}…"
    return escape(shown)


def name(anything: object) -> str:
    """Return a name as HTML, which leaves room beside it."""
    return escape(shortened(printable(str(anything)), _LONGEST_NAME))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: str = "") -> str:
    """Return a table.

    Args:
        heads: of the columns.
        rows: their cells, as HTML.
        numbers: an ``n`` for each column that holds numbers, another letter for any other.
    """
    classes = [' class="n"' if kind == "n" else "" for kind in numbers.ljust(len(heads), "t")]
    head = "".join(f"<th{kind}>{name}</th>" for name, kind in zip(heads, classes, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, classes, strict=True))
        + "</tr>"
        for row in rows
    )
    whole = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{whole}</div>'


def failures_table(causes: Sequence[Cause], left_out: int) -> str:
    """Return what failed and why."""
    rows = [
        (
            f"{each.times:,}",
            each.what,
            f"<code>{text(each.cause)}</code>",
            name(each.context),
            text(", ".join(each.examples)),
            f"{each.slaves:,}",
        )
        for each in causes
    ]
    heads = ("times", "what failed", "cause", "context", "such as", "slaves")
    more = f"<p>{counted(left_out, 'rarer cause')} not shown.</p>" if left_out else ""
    return table(heads, rows, "nttttn") + more


def slowest_table(history: History) -> str:
    """Return the tasks that took longest."""
    tasks, names, contexts = history.tasks, history.slaves, history.model.contexts
    measured = any(tasks.peak_bytes[row] for row in slowest(history))
    rows = []
    for row in slowest(history):
        context = contexts.get(tasks.context[row])
        outcome = OUTCOMES[tasks.outcome[row]]
        rows.append(
            (
                f"{tasks.number[row]}",
                name(context.name if context else ""),
                duration(tasks.duration[row]),
                duration(tasks.began[row] - history.began_at),
                name(names[tasks.slave[row]]),
                f"{tasks.attempt[row]}",
                size(tasks.result_bytes[row]),
                *([size(tasks.peak_bytes[row])] if measured else []),
                "done" if outcome == "value" else outcome,
            )
        )
    memory = ["memory"] if measured else []
    heads = ("task", "context", "took", "began after", "slave", "attempt", "result", *memory)
    return table((*heads, "outcome"), rows, "ntnntnnnt" if measured else "ntnntnnt")


def contexts_table(history: History) -> str:
    """Return the contexts with the counts of their tasks."""
    seconds: dict[int, float] = defaultdict(float)
    tasks = history.tasks
    for context, spent in zip(tasks.context, tasks.duration, strict=True):
        seconds[context] += spent
    rows = [
        (
            f'<i class="swatch" data-context="{number}"></i>{name(each.name)}',
            f"{each.added:,}",
            f"{each.done:,}",
            f"{each.failed:,}",
            f"{max(each.added - each.done - each.failed, 0):,}",
            duration(seconds[number]),
        )
        for number, each in list(history.model.contexts.items())[:CONTEXTS]
    ]
    heads = ("context", "tasks", "done", "failed", "no outcome", "time in tasks")
    more = len(history.model.contexts) - CONTEXTS
    note = f"<p>{counted(more, 'later context')} not shown.</p>" if more > 0 else ""
    return table(heads, rows, "tnnnnn") + note


def idle_table(times: Sequence[SlaveTimes]) -> str:
    """Return why slaves were idle, all together."""
    seconds: dict[Reason, float] = defaultdict(float)
    slaves: dict[Reason, int] = defaultdict(int)
    for each in times:
        for reason, spent in each.by_reason.items():
            seconds[reason] += spent
            slaves[reason] += 1
    rows = [
        (reason.value, duration(seconds[reason]), f"{slaves[reason]:,}")
        for reason in sorted(seconds, key=lambda reason: -seconds[reason])
    ]
    return table(("why slaves were idle", "slave time", "slaves"), rows, "tnn")


def slaves_table(times: Sequence[SlaveTimes]) -> str:
    """Return where the time of each slave went; of many, those that idled most come first."""
    shown = list(times)
    if len(shown) > SLAVES:
        shown.sort(key=lambda each: -each.by_doing.get(Doing.IDLE, 0.0))
    columns = (Doing.WORKING, Doing.SETTING_UP, Doing.IDLE, Doing.STARTING, Doing.QUEUED)
    rows = []
    for each in shown[:SLAVES]:
        reason = max(each.by_reason, key=lambda reason: each.by_reason[reason], default=None)
        spent = [
            duration(each.by_doing[doing]) if doing in each.by_doing else "" for doing in columns
        ]
        rows.append(
            (
                name(each.name),
                name(each.host),
                f"{each.tasks:,}",
                *spent,
                reason.value if reason else "",
                f"{each.deaths:,}" if each.deaths else "",
                text(each.last),
            )
        )
    heads = [f'<i class="swatch {css_class(doing)}"></i>{doing.value}' for doing in columns]
    more = len(times) - SLAVES
    note = f"<p>{counted(more, 'slave')} that idled less not shown.</p>" if more > 0 else ""
    return (
        table(
            ("slave", "host", "tasks", *heads, "idle mostly because", "deaths", "at the end"),
            rows,
            "ttnnnnnntnt",
        )
        + note
    )
