"""The links of the chain that are tried with tasks of their own: times, data, and modules."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import trial_tasks
from .steps import Failed
from .trial_report import modules_missing, modules_text

Run = Callable[..., Any]
"""Runs a task, which is given first, with arguments; returns its result. Raises Failed."""
Found = tuple[str, dict[str, Any]]
"""What has been found, as text and as data."""

_ROUND_TRIPS = 20
_ROUND_TRIPS_S = 2.0
_PAYLOAD_BYTES = 1 << 20
_LARGE_PAYLOAD_BYTES = 1 << 24
_FAST_S = 0.2  # a payload that takes less is measured again, with a larger one


def round_trip(run: Run) -> Found:
    """Measure how long a task takes that does nothing; the data has the median, in seconds."""
    times: list[float] = []
    while len(times) < _ROUND_TRIPS and sum(times) < _ROUND_TRIPS_S:
        begun = time.monotonic()
        run(trial_tasks.do_nothing)
        times.append(time.monotonic() - begun)
    median_s = statistics.median(times)
    text = f"{median_s * 1000:.2f} ms for a task that does nothing (median of {len(times)})"
    return text, {"median_s": median_s}


def payload(run: Run, trip_s: float) -> Found:
    """Measure how fast data travels each way, but for the time of a round trip. Raises Failed."""
    for size in (_PAYLOAD_BYTES, _LARGE_PAYLOAD_BYTES):
        data = os.urandom(size)
        begun = time.monotonic()
        if run(trial_tasks.measure, data) != size:
            raise Failed("payload", "the slave has not got what it was sent")
        turned = time.monotonic()
        if len(run(trial_tasks.make, size)) != size:
            raise Failed("payload", "the master has not got what the slave has sent")
        ended = time.monotonic()
        if ended - begun > _FAST_S:
            break
    there, back = (
        size / 1e6 / max(spent_s - trip_s, 1e-6) for spent_s in (turned - begun, ended - turned)
    )
    text = f"{there:.3g} MB/s there, {back:.3g} MB/s back ({size >> 20} MiB each way)"
    return text, {
        "bytes": size,
        "there_bytes_per_s": there * 1e6,
        "back_bytes_per_s": back * 1e6,
    }


def modules(run: Run, names: Sequence[str], surroundings: Mapping[str, Any]) -> Found:
    """Import modules in tasks. Raises Failed with all that can't be imported.

    Args:
        run: runs a task.
        names: the modules.
        surroundings: what a task has found around it.
    """
    imported: dict[str, Any] = {}
    missing: list[str] = []
    for name in names:
        try:
            imported[name] = run(trial_tasks.import_there, name)
        except Failed as failed:
            missing.append(f"{name}: {failed.step.text}")
    if missing:
        raise modules_missing(missing, surroundings)
    return modules_text(imported), imported
