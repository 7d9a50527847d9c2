"""Two ends of a connection that talk as the engine does: they wait for a stream, but not in one."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from .._wire.stream import Stream
from .._wire.types import Buffer

_READ_BYTES = 1 << 18  # as much as the engine asks for
_SELECT_S = 0.5


class End:
    """One end. Its stream is asked only after it has said that there may be something to do.

    Attributes:
        stream: the stream.
        name: what messages call it.
        doing: what is being done with it, for messages.
        has_ended: whether receive() has told the end, or that the stream is broken.
        is_woken: whether the stream has no descriptor, and calls a function instead.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self.stream = stream
        self.name = name
        self.doing = ""
        self.has_ended = False
        self._wake_up = -1
        descriptor = stream.fileno()
        self.is_woken = descriptor is None
        if descriptor is None:
            descriptor, self._wake_up = os.pipe()
            os.set_blocking(self._wake_up, False)
            os.set_blocking(descriptor, False)
            stream.on_wake_up(self._woken)
            self._woken()  # bytes may have arrived before
        self.descriptor = descriptor

    def _woken(self) -> None:
        with suppress(OSError):
            os.write(self._wake_up, b"\0")

    def note_wake_up(self) -> None:
        """Forget that the stream has called its callback, before it is asked."""
        if self.is_woken:
            with suppress(BlockingIOError):
                os.read(self.descriptor, 1 << 16)

    def receive(self, limit_bytes: int = _READ_BYTES) -> bytes:
        """Return what has arrived; b"" if that is nothing, or if the stream has ended."""
        self.doing = f"receive() of {self.name} has not returned: it must not wait"
        try:
            data = self.stream.receive(limit_bytes)
        except BlockingIOError:
            return b""
        except OSError:
            self.has_ended = True
            return b""
        finally:
            self.doing = ""
        assert isinstance(data, bytes), f"receive() of {self.name} returned {type(data).__name__}"
        assert len(data) <= limit_bytes, (
            f"receive({limit_bytes}) of {self.name} returned {len(data)} bytes"
        )
        self.has_ended = not data
        return data

    def receive_ready(self) -> bytes:
        """Read as the engine does: once if a selector says so, or all there is after a wake-up."""
        data = piece = self.receive()
        while self.is_woken and piece:
            piece = self.receive()
            data += piece
        return data

    def send(self, buffers: Sequence[Buffer]) -> int | None:
        """Return how many bytes were taken; None if none can be now.

        Raises OSError if the stream is broken.
        """
        self.doing = f"send() of {self.name} has not returned: it must not wait"
        try:
            count = self.stream.send(buffers)
        except BlockingIOError:
            return None
        finally:
            self.doing = ""
        size = sum(map(len, buffers))
        assert 0 <= count <= size, f"send() of {self.name} took {count} of {size} bytes"
        return count

    def close(self) -> None:
        """Close the stream."""
        self.doing = f"close() of {self.name} has not returned"
        self.stream.close()
        self.doing = ""

    def forget(self) -> None:
        """Close everything, whatever the state is."""
        with suppress(Exception):
            self.stream.close()
        if self._wake_up >= 0:
            wake_up, self._wake_up = self._wake_up, -1
            os.close(wake_up)
            os.close(self.descriptor)


def wait(readers: Sequence[End], writers: Sequence[End] = ()) -> list[End]:
    """Wait until there may be something to read or write; return the ends of readers."""
    ends = {end.descriptor: end for end in (*readers, *writers)}
    reading = [end.descriptor for end in ends.values() if end in readers or end.is_woken]
    writing = [end.descriptor for end in writers if not end.is_woken]
    for end in ends.values():
        end.doing = f"{end.name} is waited for"
    while True:
        ready, writable, _ = select.select(reading, writing, [], _SELECT_S)
        if ready or writable:
            break
    for descriptor in ready:
        ends[descriptor].note_wake_up()
    return [ends[descriptor] for descriptor in ready if ends[descriptor] in readers]


def wait_for_end(end: End) -> None:
    """Read until the end of a stream."""
    while not end.has_ended:
        if wait([end]):
            end.receive_ready()


class Talk:
    """A connection: the stream that is checked, and that of its peer."""

    def __init__(self, stream: Stream, peer: Stream) -> None:
        self.one = End(stream, "the stream")
        self.other = End(peer, "its peer's stream")
        self.doing = ""

    def turned(self) -> Talk:
        """Return the same connection, as the peer sees it."""
        talk = object.__new__(Talk)
        talk.one, talk.other, talk.doing = self.other, self.one, self.doing
        return talk

    def state(self) -> str:
        """Return what is being done, for messages."""
        return "; ".join(filter(None, (self.doing, self.one.doing, self.other.doing)))

    def transfer(self, *ways: Way) -> None:
        """Carry bytes, all ways at once, until all have arrived."""
        while not all(way.is_done for way in ways):
            for way in ways:
                way.send()
            self.doing = ", ".join(map(str, ways))
            writers = [way.sender for way in ways if way.has_unsent]
            ready = wait([way.receiver for way in ways if not way.is_done], writers)
            for way in ways:
                if way.receiver in ready:
                    way.receive()

    def close(self) -> None:
        """Close both ends."""
        self.one.forget()
        self.other.forget()


class Way:
    """Some bytes on their way from one end to the other."""

    def __init__(self, sender: End, receiver: End, data: bytes) -> None:
        self.sender = sender
        self.receiver = receiver
        self.sent = 0
        self._data = data
        self._received = bytearray()

    def __str__(self) -> str:
        return (
            f"of {len(self._data)} bytes, {self.sender.name} has taken {self.sent}, and "
            f"{self.receiver.name} has given {len(self._received)}"
        )

    @property
    def has_unsent(self) -> bool:
        """Whether there is something left to be sent."""
        return self.sent < len(self._data)

    @property
    def is_done(self) -> bool:
        """Whether all bytes have arrived."""
        return len(self._received) >= len(self._data)

    def send(self) -> bool:
        """Send until the stream is full, or all is sent; return whether all is."""
        view = memoryview(self._data)
        while self.has_unsent:
            left = view[self.sent : self.sent + (1 << 20)]
            count = self.sender.send([b"", left[:1000], b"", left[1000:]])
            if count is None:
                return False
            self.sent += count
        return True

    def receive(self) -> None:
        """Take what has arrived. Raises AssertionError if it is not what was sent."""
        start = len(self._received)
        self._received += self.receiver.receive_ready()
        piece = self._received[start:]
        assert piece == self._data[start : len(self._received)], f"{self}: they are other bytes"
        assert not self.receiver.has_ended or self.is_done, f"{self}: then the stream ended"


def watched(check: Callable[[], None], state: Callable[[], str], limit_s: float) -> None:
    """Run a check that may get stuck; then raise AssertionError with what it was doing."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            check()
        except BaseException as problem:  # SystemExit, too: a dial function may raise it
            problems.append(problem)

    thread = threading.Thread(target=run, name="imp_parallel check", daemon=True)
    thread.start()
    deadline = time.monotonic() + limit_s
    while thread.is_alive() and time.monotonic() < deadline:
        thread.join(0.5)  # a test runner's own limit comes through
    if problems:
        raise problems[0]
    assert not thread.is_alive(), f"not done after {limit_s:g} s: {state()}"
