"""Streams that have one thing wrong each."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence

from imp_parallel_core import SocketStream
from tests.support.unix_transport import WakingStream

Buffers = Sequence[bytes | bytearray | memoryview]


class SaysThatAllIsSent(SocketStream):
    def send(self, buffers: Buffers) -> int:
        super().send(buffers)
        return sum(map(len, buffers))


class DropsEmptyBuffersAndWhatFollows(SocketStream):
    def send(self, buffers: Buffers) -> int:
        first = buffers[0]
        return super().send([first]) if first else sum(map(len, buffers))


class DoesOneThingAtATime(SocketStream):
    is_full = False

    def send(self, buffers: Buffers) -> int:
        self.is_full = True
        count = super().send(buffers)
        self.is_full = count < sum(map(len, buffers))
        return count

    def receive(self, limit_bytes: int) -> bytes:
        if self.is_full:
            raise BlockingIOError
        return super().receive(limit_bytes)


class WaitsToReceive(SocketStream):
    def receive(self, limit_bytes: int) -> bytes:
        select.select([self._socket], [], [])
        return super().receive(limit_bytes)


class WaitsToSend(SocketStream):
    def send(self, buffers: Buffers) -> int:
        select.select([], [self._socket], [])
        return super().send(buffers)


class ReturnsMoreThanAsked(SocketStream):
    def receive(self, limit_bytes: int) -> bytes:
        return super().receive(2 * limit_bytes)


class ReadsAhead(SocketStream):
    ahead = b""

    def receive(self, limit_bytes: int) -> bytes:
        if not self.ahead:
            self.ahead = super().receive(1 << 20)
        data, self.ahead = self.ahead[:limit_bytes], self.ahead[limit_bytes:]
        return data


class HasNoBound(SocketStream):
    def send(self, buffers: Buffers) -> int:
        try:
            return super().send(buffers)
        except BlockingIOError:
            return sum(map(len, buffers))  # they would be kept


class NeverEnds(SocketStream):
    def receive(self, limit_bytes: int) -> bytes:
        data = super().receive(limit_bytes)
        if not data:
            raise BlockingIOError
        return data


class EndsTooEarly(SocketStream):
    def receive(self, limit_bytes: int) -> bytes:
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return b"" if poll.poll(0) else super().receive(limit_bytes)


class ForgetsBlockedWriters(WakingStream):
    is_full = False

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        super().on_wake_up(lambda: None if self.is_full else callback())

    def send(self, buffers: Buffers) -> int:
        try:
            return super().send(buffers)
        except OSError:
            self.is_full = True
            raise


class KeepsABreakToItself(SocketStream):
    is_broken = False

    def receive(self, limit_bytes: int) -> bytes:
        try:
            if not self.is_broken:
                return super().receive(limit_bytes)
        except ConnectionError:
            self.is_broken = True
        raise BlockingIOError


class SaysNothingOfResumption(SocketStream):
    is_made = False

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self.is_made = True

    def __getattribute__(self, name: str) -> object:
        if name == "resumable" and self.is_made:
            raise AttributeError(name)
        return super().__getattribute__(name)


class ClosesNothing(SocketStream):
    def close(self) -> None:
        """Do nothing."""


class CanNotBeClosedTwice(SocketStream):
    def close(self) -> None:
        self._socket.getpeername()
        super().close()


def pair_of(
    kind: type[SocketStream], peer: type[SocketStream] = SocketStream
) -> tuple[SocketStream, SocketStream]:
    """Return such a stream, and its peer's."""
    ours, theirs = socket.socketpair()
    return kind(ours), peer(theirs)
