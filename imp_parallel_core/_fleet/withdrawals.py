"""Slaves that wait in a batch system's queue, and are more than there are tasks left to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._light_typing import NamedTuple
from .state import Stage

if TYPE_CHECKING:
    from .fleet import Fleet

_LOOK_S = 1.0


class Demand(NamedTuple):
    """What is left to do, at one moment."""

    unfinished: int
    """How many tasks have no outcome yet, the running ones included."""
    read_at: float
    """When results were last read or waited for. Before, tasks may be added in any number."""


class Surplus:
    """Tells how many of the waiting slaves are too many, and have been for long enough. Pure.

    For every task without an outcome one waiting slave is kept, also for those that run: the slave
    that runs one may die, or reach its limit, with all others. So a withdrawal never costs a task,
    and tasks that are added later find all slaves that run, and those that are kept.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._least = 0

    def look(self, waiting: int, demand: Demand, now: float, timeout_s: float) -> int:
        """Return how many slaves to withdraw now. To be called about once a second.

        Args:
            waiting: how many slaves wait in queues.
            demand: what is left to do.
            now: the time.
            timeout_s: for how long they must have been too many.
        """
        surplus = waiting - demand.unfinished
        is_read = now - demand.read_at <= timeout_s
        if surplus <= 0 or not demand.unfinished or not is_read:
            self._since = None
            return 0
        if self._since is None:
            self._since, self._least = now, surplus
        self._least = min(self._least, surplus)
        if now - self._since < timeout_s:
            return 0
        self._since = None
        return self._least


class Withdrawals:
    """Withdraws the slaves that are too many. Works in the engine's thread.

    Args:
        fleet: all slaves.
        call_at: runs a function in the engine's thread, at a monotonic time.
        demand: returns what is left to do.
    """

    def __init__(
        self,
        fleet: Fleet,
        call_at: Callable[[float, Callable[[], None]], None],
        demand: Callable[[], Demand],
    ) -> None:
        self._fleet = fleet
        self._call_at = call_at
        self._demand = demand
        self._surplus = Surplus()
        self._is_looking = False

    def begin(self) -> None:
        """Slaves are launched, which may come to wait in a queue."""
        if not self._is_looking:
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        waiting = self._fleet.withdrawable()
        if waiting:
            timeout_s = max(record.life.timeouts.surplus_s for record in waiting)
            count = self._surplus.look(len(waiting), self._demand(), now, timeout_s)
            if count:  # the last ones: they start last
                self._fleet.withdraw(waiting[-count:])
        not_started = (Stage.LAUNCHING, Stage.ENDING)
        records = self._fleet.records.values()
        self._is_looking = any(record.life.stage in not_started for record in records)
        if self._is_looking:
            self._call_at(now + _LOOK_S, self._look)
