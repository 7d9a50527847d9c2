"""A run at one moment, as values for JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._model import RunModel

FORMAT = 1
"""The number of the layout; raised when old readers would misunderstand it."""


def snapshot(model: RunModel, facts: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return all that is known of a run.

    Args:
        model: of the run.
        facts: about its script: ``pid``, ``script``, ``folder``, ``host``.
        now: the time, in the events' seconds.
    """
    total = model.total()
    began = now if model.began_at is None else model.began_at
    return {
        "format": FORMAT,
        **facts,
        "began_wall_s": model.wall_s,
        "running_s": round(now - began, 3),
        "tasks": {
            "added": sum(each.added for each in model.contexts.values()),
            "done": total.done,
            "failed": total.failed,
            "dropped": total.cancelled,
            "running": model.running,
            "left": total.left,
        },
        "rate_per_s": model.rate_per_s(now),
        "left_s": model.left_s(now),
        "contexts": [
            {
                "context": each.number,
                "name": each.name,
                "added": each.added,
                "done": each.done,
                "failed": each.failed,
                "dropped": each.cancelled,
                "left": each.left,
                "is_open": each.is_open,
            }
            for each in model.contexts.values()
        ],
        "slaves": [
            {
                "slave": each.name,
                "host": each.host,
                "doing": each.doing.value,
                "detail": each.detail,
                "for_s": round(now - each.since, 3),
                "context": each.context,
                "tasks_done": each.tasks_done,
                "deaths": each.runners_lost,
            }
            for each in model.slaves.values()
        ],
        "errors": [{"ago_s": round(now - at, 3), "error": text} for at, text in model.last_errors],
        "events_missed": model.missed,
    }
