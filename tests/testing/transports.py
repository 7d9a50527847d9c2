"""Transports that have one thing wrong each."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

from imp_parallel_core import Accept, SocketStream
from tests.support.unix_transport import SECRET_BYTES, ResumableUnixTransport, UnixTransport
from tests.testing.streams import Buffers

Right = ResumableUnixTransport


class ForgetsNumbers(UnixTransport):
    def greet(self, connected: socket.socket, accept: Accept) -> None:
        super().greet(connected, lambda index, stream: accept(0, stream))


class DisagreesAboutResumption(UnixTransport):
    dial = "tests.support.unix_dial:dial_again"


class NamesTooFewModules(UnixTransport):
    slave_modules: Sequence[str] = ("tests", "tests.support")


class NeedsMoreModules(UnixTransport):
    dial = "tests.testing.greedy_dial:dial"
    slave_modules: Sequence[str] = (
        *UnixTransport.slave_modules,
        "tests.testing",
        "tests.testing.greedy_dial",
    )


class LosesLargeBlocks(UnixTransport):
    class Stream(SocketStream):
        def __init__(self, connected: socket.socket) -> None:
            super().__init__(connected)
            self.passes_descriptors = False

        def send(self, buffers: Buffers) -> int:
            size = sum(map(len, buffers))
            return size if size > 100_000 else super().send(buffers)

    def __init__(self) -> None:
        super().__init__(self.Stream)


class ForgetsWhatIsNotSentWhenItCloses(UnixTransport):
    class Stream(SocketStream):
        is_closed = False

        def send(self, buffers: Buffers) -> int:
            data = b"".join(buffers)
            threading.Timer(0.2, self.send_later, [data]).start()
            return len(data)

        def send_later(self, data: bytes) -> None:
            if not self.is_closed:
                self._socket.send(data)

        def close(self) -> None:
            self.is_closed = True
            super().close()

    def __init__(self) -> None:
        super().__init__(self.Stream)


class LetsAnybodyIn(UnixTransport):
    def is_let_in(self, greeting: bytes) -> bool:
        return True


class HearsOneAfterTheOther(UnixTransport):
    def greet_soon(self, connected: socket.socket, accept: Accept) -> None:
        self.greet(connected, accept)


class KeepsStrangers(UnixTransport):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[socket.socket] = []

    def greet(self, connected: socket.socket, accept: Accept) -> None:
        self.kept.append(connected.dup())
        super().greet(connected, accept)

    def close(self) -> None:
        super().close()
        for connected in self.kept:
            connected.close()


class LooksAtHalfTheSecret(UnixTransport):
    def is_let_in(self, greeting: bytes) -> bool:
        half = SECRET_BYTES // 2
        return greeting[:half] == self._secret[:half]


class GoesOnListening(UnixTransport):
    def close(self) -> None:
        """Do nothing."""


class CanNotBeClosedTwice(UnixTransport):
    def close(self) -> None:
        if self._listener is not None:
            self._listener.getsockname()
        super().close()


class LetsASlaveInOnce(Right):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[bytes] = set()

    def is_let_in(self, greeting: bytes) -> bool:
        is_first = greeting not in self.seen
        self.seen.add(greeting)
        return is_first and super().is_let_in(greeting)


class LetsErrorsThrough(UnixTransport):
    dial = "tests.testing.hasty_dial:dial"
