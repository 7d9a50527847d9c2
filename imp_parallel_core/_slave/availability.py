"""Whether a slave takes tasks, and how long it stays. Pure: :mod:`.batch_warnings` acts on it.

A batch system warns a slave before it ends or stops it, and does not say which of the two.

    ========  ===============  ================================================================
    state     takes tasks      next state
    ========  ===============  ================================================================
    working   yes              paused, by :meth:`~Availability.pause`;
                               leaving, by :meth:`~Availability.leave`
    paused    no               working, by :meth:`~Availability.go_on` (the slave was stopped);
                               leaving, by ``leave``, at the latest when ``is_pause_over``
    leaving   no               the end, by the master's LEAVE or when ``is_farewell_over``
    ========  ===============  ================================================================
"""

from __future__ import annotations

NEVER = float("inf")

_LATE_STOP_S = 10.0  # a stop may come later than the batch system has announced, by this much
_FAREWELL_S = 5.0  # how long the slave waits for the master's LEAVE after it has sent everything


class Availability:
    """The state of one slave; all times are monotonic seconds."""

    def __init__(self) -> None:
        self.is_leaving = False
        self._pauses_until = NEVER  # NEVER when the slave is not paused
        self._leaves_at = NEVER  # NEVER until the slave has sent everything

    @property
    def takes_tasks(self) -> bool:
        """Whether the slave begins tasks."""
        return not self.is_leaving and self._pauses_until == NEVER

    @property
    def deadline(self) -> float:
        """When the supervisor has to look again; may be infinite."""
        return min(self._pauses_until, self._leaves_at)

    def pause(self, now: float, notice_s: float) -> bool:
        """Stop taking tasks until it is known whether the slave is stopped or ended.

        Args:
            now: the time.
            notice_s: how long after a warning the batch system stops or ends the slave.

        Returns whether the slave was working before.
        """
        if not self.takes_tasks:
            return False
        self._pauses_until = now + notice_s + _LATE_STOP_S
        return True

    def go_on(self) -> bool:
        """Take tasks again after a stop; return whether the slave was paused."""
        was_paused = self._pauses_until != NEVER
        self._pauses_until = NEVER
        return was_paused

    def is_pause_over(self, now: float) -> bool:
        """Whether the slave has been paused for so long that the warning announced its end."""
        return now >= self._pauses_until

    def leave(self) -> bool:
        """Take no more tasks; return whether this is new."""
        if self.is_leaving:
            return False
        self.is_leaving = True
        self._pauses_until = NEVER
        return True

    def has_sent_everything(self, now: float) -> None:
        """Begin to wait for the master's LEAVE, if the slave does not wait yet."""
        self._leaves_at = min(self._leaves_at, now + _FAREWELL_S)

    def is_farewell_over(self, now: float) -> bool:
        """Whether the slave has waited for the master's LEAVE long enough."""
        return now >= self._leaves_at
