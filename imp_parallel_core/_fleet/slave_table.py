"""What ``Manager.slaves`` returns: a list that terminals and notebooks show as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .._printable import printable
from .info import SlaveInfo

_TITLES = ("slave", "host", "state", "for", "task", "done", "detail")
_MOST_ROWS = 200
_WORDS = {"launching": "starting", "connected": "starting"}
_ORDER = (
    *("working", "setting up", "idle", "starting", "queued", "paused", "leaving"),
    *("reconnecting", "suspected", "set aside", "gone"),
)


class SlaveTable(list[SlaveInfo]):
    """Slaves at one moment, in their order. ``print`` shows a table, and so does a notebook.

    The table has 200 rows at most; the list holds all slaves.
    """

    def __str__(self) -> str:
        if not self:
            return "no slaves"
        rows = [_TITLES, *map(_cells, self[:_MOST_ROWS])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *self._rest()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape  # notebooks alone need it

        def row(kind: str, cells: Sequence[str]) -> str:
            style = ' style="text-align: left"'
            inner = "".join(f"<{kind}{style}>{escape(cell)}</{kind}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        if not self:
            return "<p>no slaves</p>"
        head = row("th", _TITLES)
        body = "".join(row("td", _cells(info)) for info in self[:_MOST_ROWS])
        rest = "".join(f"<p>{escape(line)}</p>" for line in self._rest())
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{rest}"

    def _rest(self) -> list[str]:
        more = len(self) - _MOST_ROWS
        return [f"and {more} more: {counted(self[_MOST_ROWS:])}"] if more > 0 else []


def counted(slaves: Iterable[SlaveInfo]) -> str:
    """Return how many slaves are in which state: ``3 working, 1 starting``."""
    counts = Counter(_WORDS.get(info.state, info.state) for info in slaves)
    order = sorted(counts, key=lambda state: _ORDER.index(state) if state in _ORDER else -1)
    return ", ".join(f"{counts[state]} {state}" for state in order)


def _cells(info: SlaveInfo) -> tuple[str, ...]:
    task = "" if info.task is None else str(info.task)
    cells = (info.name, info.host, info.state, _duration(info.state_s), task, str(info.tasks_done))
    return (*cells, printable(info.detail))


def _duration(seconds: float) -> str:
    """Return a time as people read it: ``42 s``, ``12 min``, ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
