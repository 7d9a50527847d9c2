"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import PurePath

from .._slaves import Doing
from .._words import counted, duration, rate
from . import charts, statistics, tables
from .history import History
from .statistics import Durations, SlaveTimes
from .timeline import timeline

START = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    '<meta name="generator" content="imp-parallel report">'
)
"""How each page begins, by which later versions, too, see that it may be overwritten."""
# nothing is loaded from anywhere, whatever text of others is in the page
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_CONTEXTS = 6  # as many colours are there


def page(history: History, facts: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """Return the page.

    Args:
        history: of the run.
        facts: about the script and its machine.
        notes: what a reader should know of the record.
    """
    name = PurePath(facts.get("script", "")).name or "a run"
    times = statistics.slave_times(history)
    took = statistics.durations(history)
    sections = [
        _tiles(history, times, took),
        _section("Timeline", _timeline_section(history)),
        _section("Where the slaves' time went", _times_section(times)),
        _section("How long tasks took", _durations_section(took)),
        _section("What failed", _failures_section(history)),
        _section("The slowest tasks", tables.slowest_table(history)) if took else "",
        _section("Contexts", tables.contexts_table(history)),
        _section("Slaves", tables.slaves_table(times)),
    ]
    return (
        f"{START}\n"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{tables.text(name)}: report of a run</title>\n"
        f"<style>{_resource('page.css')}</style></head>\n<body><main>\n"
        f"<header><h1>{tables.text(name)}</h1><p>{_subtitle(history, facts)}</p></header>\n"
        f"{''.join(map(_note, notes))}\n"
        f"{chr(10).join(sections)}\n</main>\n"
        f'<script type="application/json" id="data">{_as_json(timeline(history))}</script>\n'
        f"<script>{_resource('page.js')}</script></body></html>\n"
    )


def _note(note: str) -> str:
    return f'<p class="note">{escape(note)}</p>'


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _as_json(data: object) -> str:
    """Return JSON that can stand in a script element: it holds no ``<``."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _subtitle(history: History, facts: Mapping[str, str]) -> str:
    try:
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(history.model.wall_s))
    except (ValueError, OverflowError, OSError):  # somebody has changed the record
        began = ""
    parts = [began] if began and history.model.wall_s else []
    parts += [f"on {facts['host']}"] if facts.get("host") else []
    parts += [f"in {facts['folder']}"] if facts.get("folder") else []
    parts += [f"Python {facts['python']}"] if facts.get("python") else []
    parts += [f"imp-parallel {facts['core']}"] if facts.get("core") else []
    return " · ".join(map(tables.text, parts))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _tiles(history: History, times: Sequence[SlaveTimes], took: Durations | None) -> str:
    model = history.model
    run_s = history.ended_at - history.began_at
    total = model.total()
    end = "its end" if model.ended_at is not None else "the end of the record"
    tiles = [("took", duration(run_s), f"from the Manager to {end}")]
    added = sum(each.added for each in model.contexts.values())
    tiles.append(("tasks done", f"{total.done:,}", f"of {added:,}"))
    if total.failed:
        tiles.append(("tasks failed", f"{total.failed:,}", "see below"))
    if without := model.without_outcome():
        tiles.append(("without an outcome", f"{without:,}", "not run, or dropped"))
    tiles.append(("slaves", f"{len(times):,}", _losses(history)))
    ready = _spent(times, Doing.WORKING, Doing.SETTING_UP, Doing.IDLE)
    if ready:
        share = 100 * _spent(times, Doing.WORKING) / ready
        tiles.append(("at work", f"{share:.0f} %", f"of the {duration(ready)} slaves were ready"))
    if took:
        tiles.append(
            ("median task", duration(took.median_s), f"longest {duration(took.longest_s)}")
        )
        tiles.append(("tasks ended", rate(took.tasks / run_s) if run_s else "", "in the mean"))
    shown = [
        f'<div class="tile{" bad" if name == "tasks failed" else ""}"><span>{escape(name)}</span>'
        f"<b>{escape(value)}</b><small>{escape(more)}</small></div>"
        for name, value, more in tiles
    ]
    return f'<div class="tiles">{"".join(shown)}</div>'


def _losses(history: History) -> str:
    """Return how many slaves were lost; one that is launched again may be lost several times."""
    lost = history.model.slave_counts().get(Doing.LOST, 0)
    losses = sum(each.what == "slave" for each in history.failures)
    if not losses:
        return f"{lost:,} lost" if lost else "none lost"
    if not lost:
        return f"{counted(losses, 'loss', 'losses')}, launched again"
    return f"{lost:,} lost" if losses == lost else f"{lost:,} lost, {losses:,} losses in all"


def _spent(times: Sequence[SlaveTimes], *doings: Doing) -> float:
    return sum(each.by_doing.get(doing, 0.0) for each in times for doing in doings)


def _timeline_section(history: History) -> str:
    kinds = [
        ("failed", "failed task, or death of a process"),
        ("setting-up", "set-up"),
        ("starting", "starting"),
        ("queued", "in the queue"),
        ("idle", "idle"),
        ("others", "paused, set aside or not heard"),
    ]
    contexts = list(history.model.contexts.items())[:_CONTEXTS]
    tasks = [
        f'<span><i class="swatch" data-context="{number}"></i>{tables.name(each.name)}</span>'
        for number, each in contexts
    ]
    states = [f'<span><i class="swatch {name}"></i>{text}</span>' for name, text in kinds]
    legend = "".join([*tasks, *states])
    return (
        f"{charts.slaves_over_time(history)}"
        '<div id="timeline" tabindex="0"><div id="rows"><canvas role="img" aria-label="a row for '
        "each slave: what it was at over the run's time\"></canvas></div></div>"
        f'<div class="legend">{legend}</div>'
        '<p class="hint">Drag over a time to look closer, double-click to see all again, and point '
        'at anything for what it is. <button id="all" hidden>see all</button></p>'
        "<noscript><p>The timeline needs JavaScript; the tables below do not.</p></noscript>"
        '<div id="tip" hidden></div>'
    )


def _times_section(times: Sequence[SlaveTimes]) -> str:
    bar, seconds = charts.shares(times)
    total = sum(seconds.values())
    if not total:
        return "<p>There was no slave.</p>"
    legend = "".join(
        f'<span><i class="swatch {name}"></i>{name.replace("-", " ")} '
        f"{duration(spent)} ({100 * spent / total:.0f} %)</span>"
        for name, spent in seconds.items()
        if spent
    )
    idle = tables.idle_table(times) if any(each.by_reason for each in times) else ""
    return f'{bar}<div class="legend">{legend}</div>{idle}'


def _durations_section(took: Durations | None) -> str:
    if took is None:
        return "<p>No task has run to its end.</p>"
    facts = (
        f"{counted(took.tasks, 'task')}: half of them took {duration(took.median_s)} or less, "
        f"nine of ten {duration(took.p90_s)} or less, and the longest {duration(took.longest_s)}; "
        f"{duration(took.total_s)} in all."
    )
    return f"<p>{facts}</p>{charts.histogram(took.bins)}"


def _failures_section(history: History) -> str:
    causes, left_out = statistics.causes(history)
    if not causes:
        return "<p>Nothing.</p>"
    return tables.failures_table(causes, left_out)
