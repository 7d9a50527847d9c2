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
    ) -> None:
        """Warn, if it is time, that all slaves wait that are awaited: in one line.

        Args:
            now: the time.
            states: what the launch knows of each slave.
            awaited: the slaves that have not connected; none if another slave has.
            is_told: whether the launch tells people by itself.
        """
        known = [(index, states.get(index)) for index in sorted(awaited)]
        waiting = [(index, state) for index, state in known if state and state.phase in _WAITING]
        if not waiting or len(waiting) < len(known):
            self._since, self._reminder = None, Reminder(_FIRST_S, _GROWTH)
            return
        if self._since is None:
            self._since = now
        waited_s = now - self._since
        if not self._reminder.remind(waited_s) or is_told:
            return
        first, state = waiting[0]
        reason = state.detail or "the launcher gives no reason"
        if len(waiting) > 1:
            who = f"{len(waiting)} slaves of {self._what} are"
            reason = f"slave {first}: {reason}"
        else:
            who = f"slave {first} of {self._what} is"
        _logger.warning("%s still %s after %.0f s: %s", who, state.phase.value, waited_s, reason)
