"""A channel's stream that tells the slave's launch when it has ended, and when it was closed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .._connection import Channel

if TYPE_CHECKING:
    Buffer = bytes | bytearray | memoryview


class WatchedStream:
    """The stream that the core is given; see the core's Stream.

    Args:
        channel: the channel. The core does not close it: the launch wants to know how it ends.
        ended: called once, in the core's thread, when the stream has ended or broken.
        closed: called once, likewise, when the core needs it no more.
    """

    resumable = True

    def __init__(
        self,
        channel: Channel,
        ended: Callable[[WatchedStream], None],
        closed: Callable[[WatchedStream], None],
    ) -> None:
        self.channel = channel
        self._stream = channel.stream
        self._ended = ended
        self._closed = closed
        self.has_ended = False
        self._is_closed = False
        self._made_at = time.monotonic()
        self._pid = os.getpid()

    @property
    def age_s(self) -> float:
        """For how long it has been there."""
        return time.monotonic() - self._made_at

    def fileno(self) -> int | None:
        """Return the channel's descriptor, if it has one."""
        return self._stream.fileno()

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        """Pass it on; see Stream."""
        self._stream.on_wake_up(callback)

    def receive(self, limit_bytes: int) -> bytes:
        """Return what has arrived; see Stream."""
        try:
            data = self._stream.receive(limit_bytes)
        except BlockingIOError:
            raise
        except OSError:
            self._tell_end()
            raise
        if not data:
            self._tell_end()
        return data

    def _tell_end(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._ended(self)

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Write what can be written; see Stream."""
        return self._stream.send(buffers)

    def close(self) -> None:
        """Note that the core does not want it any more."""
        if os.getpid() != self._pid:
            return  # a forked child: all of it is the parent's
        if not self._is_closed:
            self._is_closed = True
            self._closed(self)
