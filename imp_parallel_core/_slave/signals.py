"""Signals as something that an event loop can wait for."""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Callable, Iterable


class Signals:
    """Has a function called, in the loop, with the numbers of signals that have arrived.

    Args:
        numbers: the signals to catch.
        selector: the loop's; the data that it is registered with is called with the events.
        arrived: what to call.
    """

    def __init__(
        self,
        numbers: Iterable[int],
        selector: selectors.BaseSelector,
        arrived: Callable[[set[int]], None],
    ) -> None:
        self._arrived = arrived
        self._written, self._read = socket.socketpair()
        for end in (self._written, self._read):
            end.setblocking(False)
        signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)  # without a handler nothing is written
        selector.register(self._read, selectors.EVENT_READ, self._ready)

    def close(self) -> None:
        """Hear no more of signals."""
        signal.set_wakeup_fd(-1)
        self._written.close()
        self._read.close()

    def _ready(self, events: int) -> None:
        self._arrived(set(self._read.recv(4096)))
