"""A transport and a launcher for it, as a stranger would write them: Unix sockets without a file.

Both sides of it are here; the slave imports :func:`dial`.
"""

from __future__ import annotations

import base64
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from imp_parallel_core import (
    Bootstrap,
    Slave,
    SocketStream,
    Stream,
    hookimpl,
)
from tests.support.file_launcher import FileLaunch, FileSlave


def dial(document: dict[str, Any], patience_s: float) -> SocketStream:
    """Reach the master from a slave, and show it the secret and the index."""
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(document["addresses"][0])
    connected.sendall(base64.b64decode(document["secret"]) + bytes([document["index"]]))
    return SocketStream(connected)


class WakingStream(SocketStream):
    """A stream without a descriptor: a thread says when there may be something to do."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self._connected = connected
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

    dial = "unix_transport:dial"
    slave_modules = ("unix_transport",)

    def __init__(self, make_stream: Callable[[socket.socket], Stream] = SocketStream) -> None:
        self._secret = os.urandom(16)
        self._make_stream = make_stream
        self.refused = 0

    def listen(
        self, host: str | None, port: int | range | None, accept: Callable[[int, Stream], None]
    ) -> Sequence[str]:
        address = f"\0unix_transport {os.urandom(8).hex()}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        threading.Thread(target=self._serve, args=(accept,), daemon=True).start()
        return [address]

    def _serve(self, accept: Callable[[int, Stream], None]) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            greeting = connected.recv(17, socket.MSG_WAITALL)
            if greeting[:16] == self._secret:
                accept(greeting[16], self._make_stream(connected))
            else:
                self.refused += 1
                connected.close()

    def secret(self, index: int) -> bytes:
        return self._secret

    def close(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()


class DialingSlave(FileSlave):
    """A slave that is started with a file and dials the master by this transport."""

    transport = "unix"


class Plugin:
    """The plugin; its transport is kept for tests to look at."""

    def __init__(self, make_stream: Callable[[socket.socket], Stream] = SocketStream) -> None:
        self.transport = UnixTransport(make_stream)

    @hookimpl
    def imp_parallel_launch(
        self, slaves: Slave, bootstraps: Sequence[Bootstrap]
    ) -> FileLaunch | None:
        return FileLaunch(slaves, bootstraps[0]) if isinstance(slaves, DialingSlave) else None

    @hookimpl
    def imp_parallel_transport(self, name: str) -> UnixTransport | None:
        return self.transport if name == "unix" else None
