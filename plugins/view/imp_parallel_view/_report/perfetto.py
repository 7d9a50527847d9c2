"""A trace that Perfetto's viewer and Chrome's show (``ui.perfetto.dev``): the JSON trace format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .._slaves import Doing
from .history import OUTCOMES, VALUE, History
from .idleness import Idleness

START = '{"displayTimeUnit":"ms","traceEvents":['
"""How each trace begins, by which later versions, too, see that it may be overwritten."""
_MASTER = 0
_LEFT_OUT = (Doing.WORKING, Doing.SETTING_UP, Doing.LOST, Doing.NOT_NEEDED, Doing.ENDED)


def trace(history: History) -> Iterator[str]:
    """Yield the text of the trace, piece by piece."""
    yield f"{START}\n"
    separator = ""
    for event in _events(history):
        yield separator + json.dumps(event, separators=(",", ":"))
        separator = ",\n"
    yield "\n]}\n"


def _events(history: History) -> Iterator[dict[str, Any]]:
    names = list(history.model.slaves)
    threads = {name: number for number, name in enumerate(names, 1)}
    yield _name("process_name", _MASTER, 0, "slaves")
    for name, number in threads.items():
        host = history.model.slaves[name].host
        yield _name("thread_name", _MASTER, number, f"{name} ({host})" if host else name)
        yield {
            **{"ph": "M", "name": "thread_sort_index", "pid": _MASTER, "tid": number},
            "args": {"sort_index": number},
        }
    yield from _tasks(history, threads)
    yield from _others(history, threads)


def _name(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def _slice(
    history: History, thread: int, name: str, category: str, begin: float, seconds: float
) -> dict[str, Any]:
    return {
        **{"ph": "X", "name": name, "cat": category, "pid": _MASTER, "tid": thread},
        "ts": round((begin - history.began_at) * 1e6, 1),
        "dur": round(seconds * 1e6, 1),
    }


def _tasks(history: History, threads: dict[str, int]) -> Iterator[dict[str, Any]]:
    tasks, names, contexts = history.tasks, history.slaves, history.model.contexts
    for row, number in enumerate(tasks.number):
        thread = threads.get(names[tasks.slave[row]])
        if thread is None or not tasks.duration[row]:
            continue
        context = contexts.get(tasks.context[row])
        name = context.name if context else "task"
        event = _slice(history, thread, name, "task", tasks.began[row], tasks.duration[row])
        event["args"] = {
            "task": number,
            "attempt": tasks.attempt[row],
            "outcome": OUTCOMES[tasks.outcome[row]],
            "result_bytes": tasks.result_bytes[row],
            "peak_memory_bytes": tasks.peak_bytes[row],
        }
        if tasks.outcome[row] != VALUE:
            event["cname"] = "terrible"
        yield event


def _others(history: History, threads: dict[str, int]) -> Iterator[dict[str, Any]]:
    for done in history.setups:
        if done.slave in threads:
            name = "set-up failed" if done.error else "set-up"
            thread = threads[done.slave]
            event = _slice(history, thread, name, "set-up", done.began_at, done.duration_s)
            yield {**event, "args": {"error": done.error}}
    for death in history.deaths:
        if death.slave in threads:
            yield {
                **{"ph": "i", "s": "t", "name": "process died", "cat": "death", "pid": _MASTER},
                "tid": threads[death.slave],
                "ts": round((death.at - history.began_at) * 1e6, 1),
                "args": {"cause": death.cause, "task": death.task},
            }
    idleness = Idleness(history)
    for slave, spans in history.spans.items():
        for span in spans:
            if span.doing in _LEFT_OUT:
                continue
            pieces = [
                (reason.value, begin, end) for reason, begin, end in idleness.reasons(slave, span)
            ] or [(span.detail, span.begin, span.end)]
            for why, begin, end in pieces:
                event = _slice(
                    history, threads[slave], span.doing.value, "state", begin, end - begin
                )
                yield {**event, "args": {"why": why}}
