"""The task of Dask's that keeps a slave. It is sent to workers that don't have this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distributed import get_worker

_LOOK_S = 0.2
_PAUSE_S = 10.0  # between reports of output that the master does not see, after the first ones


def keep(topic: str, index: int, start: Callable[[bytes], Any], archive: bytes) -> None:
    """Start a slave, and report how it is until it ends, or nobody wants it any more.

    Args:
        topic: of Dask's events, for the reports.
        index: the slave's.
        start: starts it; see ``imp_parallel_core.sent_slave``.
        archive: the slave program.
    """
    worker = get_worker()
    key = worker.get_current_task()

    def report(news: dict[str, Any]) -> None:
        worker.log_event(topic, {**news, "index": index, "at": worker.address})

    slave = start(archive)
    why = ""
    try:
        report(slave.report())
        pause_s = waited_s = _LOOK_S
        while not slave.wait(_LOOK_S):
            task = worker.state.tasks.get(key)
            if task is None or task.state != "executing":  # or the script has gone
                why = "its Dask task was cancelled"
                break
            if worker.status.name not in ("running", "paused"):
                why = f"its Dask worker {worker.address} closes"
                break
            waited_s += _LOOK_S
            news = slave.report() if waited_s >= pause_s else {}
            if news.get("output"):
                report(news)
                pause_s, waited_s = min(_PAUSE_S, pause_s * 1.5), 0.0
    finally:
        report({**slave.end(), "why": why})
