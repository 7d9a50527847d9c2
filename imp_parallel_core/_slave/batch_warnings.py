"""What a slave does when its batch system warns it: tell the master, and hand tasks back.

A warning is a signal. Whether it announces a stop or the end, and for how long the slave stays, is
decided by :mod:`.availability`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from .._light_typing import TYPE_CHECKING
from .._wire import protocol
from .output import say

if TYPE_CHECKING:
    from .availability import Availability
    from .master_link import MasterLink

WARNINGS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGHUP}


class BatchWarnings:
    """Acts on the warnings that one slave receives.

    Args:
        master: the session with the master.
        availability: the slave's.
        take_back: takes back what the runner has not begun, and hands it to the master.
        notify_s: how long before a stop or end a batch system warns the slave; None without one.
    """

    def __init__(
        self,
        master: MasterLink,
        availability: Availability,
        take_back: Callable[[], None],
        notify_s: float | None,
    ) -> None:
        self._master = master
        self._availability = availability
        self._take_back = take_back
        self._notify_s = notify_s

    def received(self, numbers: set[int]) -> None:
        """Act on the warnings among the signals that the slave has received."""
        for number in numbers & WARNINGS:
            if number == signal.SIGUSR1 and self._notify_s and self._master.is_welcome:
                self._pause(self._notify_s)
            else:
                self._begin_to_leave(number)

    def by_the_clock(self, now: float) -> None:
        """Leave, if a pause has lasted for so long that its warning announced the end."""
        if self._availability.is_pause_over(now):
            self._begin_to_leave(signal.SIGUSR1)

    def _pause(self, notify_s: float) -> None:
        """Hand tasks back: the slave will be stopped or ended soon, and nobody knows which."""
        if not self._availability.pause(time.monotonic(), notify_s):
            return
        reason = _received(signal.SIGUSR1)
        say(f"{reason}; this slave takes no tasks until it is known what for")
        self._master.send(protocol.PAUSED, b"", [reason.encode()])
        self._take_back()

    def go_on(self) -> None:
        """Take tasks again: the slave was stopped, and has been continued."""
        if self._availability.go_on():
            say("this slave was stopped, and goes on")
            self._master.send(protocol.RESUMED)

    def _begin_to_leave(self, number: int) -> None:
        """Hand back what has not begun, and take no more tasks: the slave will be ended."""
        if not self._availability.leave():
            return
        reason = _received(number)
        say(f"{reason}; this slave takes no more tasks")
        if self._master.is_welcome:
            self._master.send(protocol.LEAVING, b"", [reason.encode()])
            self._take_back()

    def may_leave(self, now: float) -> bool:
        """Whether a leaving slave that is at nothing may leave without the master's LEAVE.

        A stream that is closed before the master has received everything may lose the rest.
        """
        if not self._master.is_welcome or self._availability.is_farewell_over(now):
            return True
        if self._master.has_sent_everything:
            self._availability.has_sent_everything(now)
        return False


def _received(number: int) -> str:
    return f"received {signal.Signals(number).name}"
