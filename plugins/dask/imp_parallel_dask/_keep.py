"""The task of Dask's that keeps a slave. It is sent to workers that don't have this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distributed import get_worker


def keep(topic: str, start: Callable[[bytes], Any], archive: bytes) -> None:
    """Start a slave, and report how it is until it ends, or nobody wants it any more.

    Args:
        topic: of Dask's events, for the reports.
        start: starts the slave.
        archive: the slave program.
    """
    worker = get_worker()
    key = worker.get_current_task()

    def why_end() -> str:
        task = worker.state.tasks.get(key)
        if task is None or task.state != "executing":  # or the script has gone
            return "its Dask task was cancelled"
        is_up = worker.status.name in ("running", "paused")
        return "" if is_up else f"its Dask worker {worker.address} closes"

    start(archive).keep(
        lambda report: worker.log_event(topic, {**report, "at": worker.address}), why_end
    )
