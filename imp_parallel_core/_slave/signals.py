"""Signals as events of a selector's loop."""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Callable, Iterable


class Signals:
    """Catches signals, and calls a function in the loop with their numbers.

    Args:
        numbers: the signals to catch.
        selector: the selector of the loop, which calls the data of each key with the events.
        arrived: the function.
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
            signal.signal(
                number, lambda *_: None
            )  # Python writes to the socket only if there is a handler
        selector.register(self._read, selectors.EVENT_READ, self._ready)

    def comes_after(self, ready: tuple[selectors.SelectorKey, int]) -> bool:
        """Whether what a selector has found ready is something else than signals."""
        return ready[0].fileobj is not self._read

    def close(self) -> None:
        """Stop reporting signals."""
        signal.set_wakeup_fd(-1)
        self._written.close()
        self._read.close()

    def _ready(self, events: int) -> None:
        self._arrived(set(self._read.recv(4096)))
