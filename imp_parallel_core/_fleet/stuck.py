"""Plugins that do not answer: people are told, since nothing else would show it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .._explained import explained
from ..reminder import SharedReminder

if TYPE_CHECKING:
    from .._launch.watch import LaunchWatch
    from .._loop import Loop

_logger = logging.getLogger("imp_parallel.launch")

_LOOK_S = 5.0
_FIRST_S = 15.0  # a command of a batch system may take so long
_GROWTH = 3.0


class StuckLaunches:
    """Looks now and then whether the threads of launches are held up in a plugin's method.

    Used in the engine's thread.

    Args:
        loop: the engine's.
    """

    def __init__(self, loop: Loop[Any]) -> None:
        self._loop = loop
        self._watches: list[LaunchWatch] = []
        self._shared = SharedReminder["LaunchWatch"](_FIRST_S, _GROWTH)

    def look_after(self, watch: LaunchWatch) -> None:
        """Look after one launch more, until its thread has ended."""
        self._watches.append(watch)
        if len(self._watches) == 1:
            self._loop.call_at(time.monotonic() + _LOOK_S, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self._watches = [watch for watch in self._watches if watch.is_alive()]
        self.tell(self._watches, now)
        if self._watches:
            self._loop.call_at(now + _LOOK_S, self._look)

    def tell(self, watches: Iterable[LaunchWatch], now: float) -> None:
        """Warn, if it is time, of those that are in a call for long: of all alike in one line."""
        for watch in watches:
            call = watch.call
            if call is None:
                self._shared.forget(watch)
                continue
            alike = self._shared.remind(watch, (watch.plugin, call.method), call.since, now)
            if alike:
                more = f" (and {len(alike) - 1} more launches likewise)" if len(alike) > 1 else ""
                text = (
                    f"plugin {watch.plugin}: {call.method}() of the launch of {watch.what} has not "
                    f"returned for {max(alike.values()):.0f} s{more}; meanwhile nobody knows how "
                    "its slaves are that have not connected"
                )
                _logger.warning("%s", explained(text, "plugin-hangs", once=True))
