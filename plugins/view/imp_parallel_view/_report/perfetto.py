"""A trace that Perfetto's viewer and Chrome's show (``ui.perfetto.dev``): the JSON trace format."""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from imp_parallel_core import RunnerLost, SetupDone

from .._slaves import Doing
from .history import OUTCOMES, VALUE, History
from .idleness import Idleness
from .rows import between, microseconds, one_by_one

START = '{"displayTimeUnit":"ms","traceEvents":['
"""How each trace begins, by which later versions, too, see that it may be overwritten."""
_MASTER = 0
_LEFT_OUT = (Doing.WORKING, Doing.SETTING_UP, Doing.LOST, Doing.NOT_NEEDED, Doing.ENDED)
_AMID_A_TASK = (Doing.PAUSED, Doing.SET_ASIDE, Doing.SILENT, Doing.LEAVING)

_Work = int | SetupDone | RunnerLost
"""What a slave was at: a task that ended, by its row in the history, or another thing."""


def trace(history: History) -> Iterator[str]:
    """Yield the text of the trace, piece by piece."""
    yield f"{START}\n"
    separator = ""
    for event in _Trace(history).events():
        yield separator + json.dumps(event, separators=(",", ":"))
        separator = ",\n"
    yield "\n]}\n"


class _Trace:
    def __init__(self, history: History) -> None:
        self._history = history
        self._idleness = Idleness(history)
        names = history.slaves
        self._tasks: dict[str, array[int]] = defaultdict(lambda: array("Q"))
        self._others: dict[str, list[SetupDone | RunnerLost]] = defaultdict(list)
        for row, slave in enumerate(history.tasks.slave):
            if history.tasks.duration[row]:
                self._tasks[names[slave]].append(row)
        for done in history.setups:
            self._others[done.slave].append(done)
        for death in history.deaths:
            self._others[death.slave].append(death)

    def events(self) -> Iterator[dict[str, Any]]:
        slaves = self._history.model.slaves
        yield _about("process_name", 0, name="slaves")
        for thread, (name, slave) in enumerate(slaves.items(), 1):
            shown = f"{name} ({slave.host})" if slave.host else name
            yield _about("thread_name", thread, name=shown)
            yield _about("thread_sort_index", thread, sort_index=thread)
            yield from self._row(name, thread)
        threads = {name: thread for thread, name in enumerate(slaves, 1)}
        for what, slave_name, at, arguments in self._ends():
            if slave_name in threads:
                yield {
                    **{"ph": "i", "s": "t", "name": what, "cat": "death", "pid": _MASTER},
                    **{"tid": threads[slave_name], "ts": microseconds(self._ns(at))},
                    "args": arguments,
                }

    def _ns(self, at: float) -> int:
        return round((at - self._history.began_at) * 1e9)

    def _row(self, slave: str, thread: int) -> Iterator[dict[str, Any]]:
        work = one_by_one(self._work(slave))
        for begin, end, what in work:
            yield {**_slice(thread, begin, end), **self._words(what)}
        begins, ends = [begin for begin, _, _ in work], [end for _, end, _ in work]
        for span in self._history.spans.get(slave, ()):
            if span.doing in _LEFT_OUT:
                continue
            pieces = [
                (reason.value, begin, end)
                for reason, begin, end in self._idleness.reasons(slave, span)
            ] or [(span.detail, span.begin, span.end)]
            amid = span.doing in _AMID_A_TASK
            for why, began, ended in pieces:
                for begin, end in between(self._ns(began), self._ns(ended), begins, ends, amid):
                    yield {
                        **_slice(thread, begin, end),
                        **{"name": span.doing.value, "cat": "state", "args": {"why": why}},
                    }

    def _work(self, slave: str) -> Iterator[tuple[int, int, _Work]]:
        tasks = self._history.tasks
        for row in self._tasks.pop(slave, ()):
            began = tasks.began[row]
            yield self._ns(began), self._ns(began + tasks.duration[row]), row
        for each in self._others[slave]:
            if isinstance(each, SetupDone):
                yield self._ns(each.began_at), self._ns(each.began_at + each.duration_s), each
            elif each.context and each.began_at < each.at:
                yield self._ns(each.began_at), self._ns(each.at), each

    def _words(self, what: _Work) -> dict[str, Any]:
        """Return what is said of a slice of work."""
        if isinstance(what, SetupDone):
            name = "set-up failed" if what.error else "set-up"
            return {"name": name, "cat": "set-up", "args": {"error": what.error}}
        if isinstance(what, RunnerLost):
            about = {"task": what.task, "attempt": what.attempt, "cause": what.cause}
            if what.task is None:
                return {"name": "set-up failed", "cat": "set-up", "args": {"error": what.cause}}
            name = self._context(what.context)
            return {"name": name, "cat": "attempt", "cname": "terrible", "args": about}
        tasks = self._history.tasks
        words = {
            **{"name": self._context(tasks.context[what]), "cat": "task"},
            "args": {
                "task": tasks.number[what],
                "attempt": tasks.attempt[what],
                "outcome": OUTCOMES[tasks.outcome[what]],
                "result_bytes": tasks.result_bytes[what],
                "peak_memory_bytes": tasks.peak_bytes[what],
            },
        }
        return words if tasks.outcome[what] == VALUE else {**words, "cname": "terrible"}

    def _context(self, number: int) -> str:
        context = self._history.model.contexts.get(number)
        return context.name if context else "task"

    def _ends(self) -> Iterator[tuple[str, str, float, dict[str, Any]]]:
        """Yield what has ended: what, of which slave, when, and how."""
        for death in self._history.deaths:
            about = {"cause": death.cause, "task": death.task}
            yield "process died", death.slave, death.at, about
        for failure in self._history.failures:
            if failure.what == "slave":
                yield "slave lost", failure.slave, failure.at, {"cause": failure.cause}


def _about(kind: str, thread: int, **values: Any) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": _MASTER, "tid": thread, "args": values}


def _slice(thread: int, begin: int, end: int) -> dict[str, Any]:
    times = {"ts": microseconds(begin), "dur": microseconds(end - begin)}
    return {"ph": "X", "pid": _MASTER, "tid": thread, **times}
