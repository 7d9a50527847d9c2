"""Slaves that have not been started yet: saying so, and why, ever more seldom."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from .._explained import explained
from .._plugins.launch import LaunchPhase, LaunchState
from ..reminder import SharedReminder

_logger = logging.getLogger("imp_parallel.launch")

_WAITING = (LaunchPhase.QUEUED, LaunchPhase.SUSPENDED)
_FIRST_S = 10.0
_GROWTH = 3.0


Waiting = SharedReminder["QueuedSlaves"]


def waiting() -> Waiting:
    """Return what the launches of a Manager share, so that people are told of all in one line."""
    return Waiting(_FIRST_S, _GROWTH)


class QueuedSlaves:
    """The slaves of one launch, none of which can work yet. Used by the launch's thread.

    Args:
        what: the launch, for messages.
        shared: what all launches share.
    """

    def __init__(self, what: str, shared: Waiting) -> None:
        self._what = what
        self._shared = shared
        self._since: float | None = None
        self._count = 0

    def tell(
        self,
        now: float,
        states: Mapping[int, LaunchState],
        awaited: Collection[int],
        *,
        is_told: bool,
        trouble: str = "",
    ) -> None:
        """Warn, if it is time, that all slaves wait that are awaited; and others that are alike.

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
            self.forget()
            return
        if self._since is None:
            self._since = now
        self._count = len(waiting)
        first = waiting[0]
        state = states.get(first)
        phase = state.phase.value if state else "launching"
        reason = (state.detail if state else trouble) or "the launcher gives no reason"
        kind = "" if is_told else (phase, reason)
        alike = self._shared.remind(self, kind, self._since, now)
        if not alike or is_told:
            return
        count = sum(one._count for one in alike)
        if len(alike) > 1:
            who = f"{count} slaves of {len(alike)} launches are"
            reason = f"slave {first} of {self._what}: {reason}"
        elif count > 1:
            who = f"{count} slaves of {self._what} are"
            reason = f"slave {first}: {reason}"
        else:
            who = f"slave {first} of {self._what} is"
        text = f"{who} still {phase} after {max(alike.values()):.0f} s: {reason}"
        _logger.warning("%s", explained(text, "still-queued", once=True))

    def forget(self) -> None:
        """Take note that its slaves wait no more."""
        self._since = None
        self._shared.forget(self)
