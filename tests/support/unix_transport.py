"""A transport as a stranger would write it: Unix sockets without a file, and a secret."""

from __future__ import annotations

import hmac
import os
import socket
import threading
from collections.abc import Callable, Sequence

from imp_parallel_core import Accept, SocketStream, Stream
from tests.support.unix_dial import ResumableStream

SECRET_BYTES = 16
_GREETING_S = 5.0


class WakingStream(SocketStream):
    """A stream without a descriptor: a thread says when there may be something to do."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self._callback: Callable[[], None] = lambda: None
        self._closed = threading.Event()

    def fileno(self) -> int | None:
        return None

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        threading.Thread(target=self._wake, daemon=True).start()

    def _wake(self) -> None:
        while not self._closed.wait(0.005):
            self._callback()

    def close(self) -> None:
        self._closed.set()
        super().close()


class UnixTransport:
    """Listens at an abstract socket; who does not know the secret gets no further."""

    dial = "tests.support.unix_dial:dial"
    slave_modules: Sequence[str] = ("tests", "tests.support", "tests.support.unix_dial")

    def __init__(self, make_stream: Callable[[socket.socket], Stream] = SocketStream) -> None:
        self._secret = os.urandom(SECRET_BYTES)
        self._listener: socket.socket | None = None
        self._make_stream = make_stream
        self.refused = 0

    def listen(self, host: str | None, port: int | range | None, accept: Accept) -> Sequence[str]:
        address = f"\0unix_transport {os.urandom(8).hex()}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        serve = threading.Thread(target=self._serve, args=(self._listener, accept), daemon=True)
        serve.start()
        return [address]

    def _serve(self, listener: socket.socket, accept: Accept) -> None:
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            self.greet_soon(connected, accept)

    def greet_soon(self, connected: socket.socket, accept: Accept) -> None:
        """Let nobody wait for another one's greeting."""
        threading.Thread(target=self.greet, args=(connected, accept), daemon=True).start()

    def greet(self, connected: socket.socket, accept: Accept) -> None:
        """Hand a connection over if its peer knows the secret; else end it."""
        connected.settimeout(_GREETING_S)
        try:
            greeting = connected.recv(SECRET_BYTES + 2, socket.MSG_WAITALL)
            if self.is_let_in(greeting):
                connected.sendall(b"y")
                index = int.from_bytes(greeting[SECRET_BYTES:], "big")
                accept(index, self._make_stream(connected))
                return
        except OSError:
            pass
        self.refused += 1
        connected.close()

    def is_let_in(self, greeting: bytes) -> bool:
        """Whether somebody knows the secret."""
        is_whole = len(greeting) == SECRET_BYTES + 2
        return is_whole and hmac.compare_digest(greeting[:SECRET_BYTES], self._secret)

    def secret(self, index: int) -> bytes:
        return self._secret

    def close(self) -> None:
        if self._listener is None:
            return
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()


class ResumableUnixTransport(UnixTransport):
    """The same, with streams that can be made again."""

    dial = "tests.support.unix_dial:dial_again"

    def __init__(self) -> None:
        super().__init__(ResumableStream)


def connect(address: str) -> socket.socket:
    """Connect to an abstract socket, as a stranger can."""
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(10.0)
    try:
        connected.connect(address)
    except BaseException:
        connected.close()
        raise
    return connected
