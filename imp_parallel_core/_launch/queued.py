"""Slaves that have not been started yet: saying so, and why, ever more seldom."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from .._plugins.launch import LaunchPhase, LaunchState
from ..reminder import Reminder

_logger = logging.getLogger("imp_parallel.launch")

_WAITING = (LaunchPhase.QUEUED, LaunchPhase.SUSPENDED)
_FIRST_S = 10.0
_GROWTH = 3.0


class QueuedSlaves:
    """The slaves of one launch, none of which can work yet. Used by the launch's thread.

    Args:
        what: the launch, for messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._since: float | None = None
        self._reminder = Reminder(_FIRST_S, _GROWTH)

    def tell(
        self,
        now: float,
        states: Mapping[int, LaunchState],
        awaited: Collection[int],
        *,
        is_told: bool,
        trouble: str = "",
    ) -> None:
        """Warn, if it is time, that all slaves wait that are awaited: in one line.

        Args:
            now: the time.
            states: what the launch knows of each slave.
            awaited: the slaves that have not connected; none if another slave has.
            is_told: whether the launch tells people by itself.
            trouble: why the launch does not say how a slave is, if it does not.
        """
        waiting = sorted(awaited)
        known = [states[index].phase for index in waiting if index in states]
        if not waiting or not all(phase in _WAITING for phase in known):
            self._since, self._reminder = None, Reminder(_FIRST_S, _GROWTH)
            return
        if self._since is None:
            self._since = now
        waited_s = now - self._since
        if not self._reminder.remind(waited_s) or is_told:
            return
        first = waiting[0]
        state = states.get(first)
        phase = state.phase.value if state else "launching"
        reason = (state.detail if state else trouble) or "the launcher gives no reason"
        if len(waiting) > 1:
            who = f"{len(waiting)} slaves of {self._what} are"
            reason = f"slave {first}: {reason}"
        else:
            who = f"slave {first} of {self._what} is"
        _logger.warning("%s still %s after %.0f s: %s", who, phase, waited_s, reason)
