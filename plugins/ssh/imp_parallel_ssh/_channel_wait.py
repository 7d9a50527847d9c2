"""Waiting for a command's stream or its end, in a thread of the caller's that may block."""

from __future__ import annotations

import select
import threading
import time

from imp_parallel_core import Stream

from ._connection import Channel

_POLL_S = 0.005
_LOOK_S = 0.2  # how often wake() is looked for: no other thread can end a poll


class StreamWait:
    """Waits until a stream can be read or written, whether it has a descriptor or calls back.

    Args:
        stream: the stream; nobody else takes its wake-ups.
    """

    def __init__(self, stream: Stream) -> None:
        self._woken = threading.Event()
        self._descriptor = stream.fileno()
        if self._descriptor is None:
            stream.on_wake_up(self._woken.set)

    def wake(self) -> None:
        """End the wait, or the next one; called from any thread."""
        self._woken.set()

    def wait(self, limit_s: float, events: int = select.POLLIN) -> bool:
        """Wait; return False if nothing has happened to the stream within the limit.

        Args:
            limit_s: for how long, at most.
            events: what to wait for, as ``poll`` takes it; a stream without a descriptor calls back
                for both.
        """
        if self._descriptor is None:
            is_woken = self._woken.wait(max(0.0, limit_s))
        else:
            is_woken = self._poll(self._descriptor, events, time.monotonic() + limit_s)
        self._woken.clear()
        return is_woken

    def _poll(self, descriptor: int, events: int, deadline: float) -> bool:
        poll = select.poll()
        poll.register(descriptor, events)
        while not self._woken.is_set():
            left_s = max(0.0, deadline - time.monotonic())
            if poll.poll(min(left_s, _LOOK_S) * 1000):
                return True
            if left_s <= _LOOK_S:
                return self._woken.is_set()
        return True


def exit_status_at_end(channel: Channel, limit_s: float) -> int | None:
    """Return the exit status of a channel whose stream has ended; it may come a little later."""
    deadline = time.monotonic() + limit_s
    while (status := channel.exit_status()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return status
