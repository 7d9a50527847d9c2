"""The slaves at one moment, for ``Manager.slaves``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .._fleet.info import describe
from .._fleet.slave_table import SlaveTable
from .._fleet.state import SlaveState

if TYPE_CHECKING:
    from .._fleet.info import SlaveInfo
    from .._fleet.record import SlaveRecord
    from .._scheduler.scheduler import Scheduler

_GONE = SlaveState.GONE.value


def slave_list(
    records: Mapping[int, SlaveRecord], scheduler: Scheduler, ended_at: float | None
) -> SlaveTable:
    """Return what each slave is doing. Called in the engine's thread, or after its end.

    Args:
        records: the slaves.
        scheduler: knows what they are at.
        ended_at: when the engine began to end all of them; None if it has not.
    """
    now = time.monotonic()
    found = SlaveTable(
        describe(record, scheduler.doing(index), now) for index, record in records.items()
    )
    if ended_at is None:
        return found
    return SlaveTable(_ended(info, now - ended_at) for info in found)


def _ended(info: SlaveInfo, ago_s: float) -> SlaveInfo:
    """Return a slave as it is when its Manager has been closed, whatever it was at then."""
    if info.state == _GONE:
        return info
    detail = "its Manager has been closed"
    return replace(
        info, state=_GONE, state_s=ago_s, detail=detail, task=None, context=None, runner_pid=None
    )
