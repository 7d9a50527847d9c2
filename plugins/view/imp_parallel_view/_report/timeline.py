"""What the page draws as the timeline: a row for each slave, of bounded size.

Times are whole numbers, millionths of the run's length. A task that is longer than a cell is there
as it is. Shorter ones are put together by cells: how much of the cell was work, how many tasks
there were, how many of them failed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .._slaves import Doing
from .._words import shortened
from .history import VALUE, History, Span
from .idleness import Idleness

UNIT = 1_000_000
_CELLS = 150_000  # in all rows together
_LONGEST_NAME = 200
_FEWEST, _MOST = 50, 1500  # in a row
_DRAWN = (
    Doing.QUEUED,
    Doing.STARTING,
    Doing.SETTING_UP,
    Doing.IDLE,
    Doing.PAUSED,
    Doing.SET_ASIDE,
    Doing.SILENT,
    Doing.LEAVING,
    Doing.LOST,
    Doing.NOT_NEEDED,
)


def timeline(history: History) -> dict[str, Any]:
    """Return what the page's script draws, as values for JSON.

    ``rows`` are the slaves, each with ``name``, ``host``, ``states`` (begin, end, an index into
    ``doing``, an index into ``details``), ``tasks`` (begin, length, context, outcome, number,
    attempt), ``cells`` (begin, length, work in thousandths, tasks, failures, context of most) and
    ``deaths`` (when, an index into ``details``, begin of the attempt).
    """
    return _Timeline(history).made()


class _Timeline:
    def __init__(self, history: History) -> None:
        self._history = history
        self._span = max(history.ended_at - history.began_at, 1e-9)
        rows = max(len(history.model.slaves), 1)
        self._cells = min(max(_CELLS // rows, _FEWEST), _MOST)
        self._details: dict[str, int] = {}
        self._idleness = Idleness(history)

    def made(self) -> dict[str, Any]:
        history = self._history
        rows: dict[str, dict[str, Any]] = {
            name: {
                "name": name,
                "host": slave.host,
                "states": self._states(name),
                "tasks": [],
                "cells": [],
                "deaths": [],
            }
            for name, slave in history.model.slaves.items()
        }
        self._put_tasks(rows)
        for death in history.deaths:
            if death.slave in rows and len(rows[death.slave]["deaths"]) < self._cells:
                why = self._detail(death.cause)
                began = self._place(death.began_at)
                rows[death.slave]["deaths"].append([self._place(death.at), why, began])
        contexts = {
            number: shortened(each.name, _LONGEST_NAME)
            for number, each in history.model.contexts.items()
        }
        return {
            "span_s": self._span,
            "doing": [doing.value for doing in _DRAWN],
            "details": list(self._details),
            "contexts": contexts,
            "rows": list(rows.values()),
        }

    def _place(self, at: float) -> int:
        place = round((at - self._history.began_at) / self._span * UNIT)
        return min(max(place, 0), UNIT)

    def _detail(self, text: str) -> int:
        return self._details.setdefault(text, len(self._details))

    def _states(self, name: str) -> list[list[int]]:
        pieces = [
            piece
            for span in self._history.spans.get(name, ())
            if span.doing in _DRAWN
            for piece in self._pieces(name, span)
        ]
        if len(pieces) > _MOST:  # most of them can't be seen
            shortest_s = self._span / self._cells
            pieces = [piece for piece in pieces if piece.end - piece.begin >= shortest_s]
        return [
            [
                self._place(piece.begin),
                self._place(piece.end),
                _DRAWN.index(piece.doing),
                self._detail(piece.detail),
            ]
            for piece in pieces
        ]

    def _pieces(self, name: str, span: Span) -> list[Span]:
        """Return a span, but for an idle one that for each reason."""
        if span.doing is not Doing.IDLE:
            return [span]
        return [
            Span(begin, end, Doing.IDLE, reason.value)
            for reason, begin, end in self._idleness.reasons(name, span)
        ]

    def _put_tasks(self, rows: dict[str, dict[str, Any]]) -> None:
        tasks, names = self._history.tasks, self._history.slaves
        cell_s = self._span / self._cells
        began_at = self._history.began_at
        busy: dict[tuple[int, int], list[float]] = {}
        of_contexts: dict[tuple[int, int], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        columns = (tasks.slave, tasks.began, tasks.duration, tasks.outcome, tasks.context)
        for row, (slave, began, seconds, outcome, context) in enumerate(zip(*columns, strict=True)):
            if names[slave] not in rows:
                continue
            if seconds >= cell_s:
                begin, end = self._place(began), self._place(began + seconds)
                item = [begin, end - begin, context, outcome]
                item += [tasks.number[row], tasks.attempt[row]]
                rows[names[slave]]["tasks"].append(item)
            elif seconds > 0.0:
                place = slave, min(max(int((began - began_at) / cell_s), 0), self._cells - 1)
                cell = busy.setdefault(place, [0.0, 0, 0])
                cell[0] += seconds
                cell[1] += 1
                cell[2] += outcome != VALUE
                of_contexts[place][context] += 1
        for (slave, index), (seconds, count, failed) in sorted(busy.items()):
            begin, end = UNIT * index // self._cells, UNIT * (index + 1) // self._cells
            share = min(round(1000 * seconds / cell_s), 1000)
            counts = of_contexts[slave, index]
            most = max(counts, key=lambda context: counts[context])
            item = [begin, end - begin, share, int(count), int(failed), most]
            rows[names[slave]]["cells"].append(item)
