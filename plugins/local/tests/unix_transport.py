"""A transport and a launcher for it, as a stranger would write them: Unix sockets in a folder.

Both sides of it are here; the slave imports :func:`dial`.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imp_parallel_core import (
    Bootstrap,
    LaunchPhase,
    LaunchState,
    Slave,
    SocketStream,
    Stream,
    hookimpl,
    read_tail,
)


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
    """Listens at a socket in a private folder; who does not know the secret gets no further."""

    dial = "unix_transport:dial"
    slave_modules = ("unix_transport",)

    def __init__(self, make_stream: Callable[[socket.socket], Stream] = SocketStream) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._secret = os.urandom(16)
        self._listener = socket.socket(socket.AF_UNIX)
        self._make_stream = make_stream
        self.refused = 0

    def listen(
        self, host: str | None, port: int | range | None, accept: Callable[[int, Stream], None]
    ) -> Sequence[str]:
        address = self._folder.name + "/master"
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
        self._folder.cleanup()


class DialingSlave(Slave):
    """A slave that is started with a file and dials the master."""

    transport = "unix"


class DialingLaunch:
    """One such slave."""

    def __init__(self, bootstrap: Bootstrap) -> None:
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "bootstrap"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(bootstrap.document())
        self.command = bootstrap.command("file", str(file))
        self._bootstrap = bootstrap
        assert bootstrap.output_path is not None
        with bootstrap.output_path.open("ab") as output:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def stream(self, index: int) -> None:
        return None

    def poll(self) -> Mapping[int, LaunchState]:
        code = self._process.poll()
        phase = LaunchPhase.RUNNING if code is None else LaunchPhase.ENDED
        return {self._bootstrap.index: LaunchState(phase, exit_code=code)}

    def cancel(self, grace_s: float) -> None:
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def log_tail(self, index: int) -> str:
        return read_tail(self._bootstrap.output_path)


class Plugin:
    """The plugin; its transport is kept for tests to look at."""

    def __init__(self, make_stream: Callable[[socket.socket], Stream] = SocketStream) -> None:
        self.transport = UnixTransport(make_stream)

    @hookimpl
    def imp_parallel_launch(
        self, slaves: Slave, bootstraps: Sequence[Bootstrap]
    ) -> DialingLaunch | None:
        return DialingLaunch(bootstraps[0]) if isinstance(slaves, DialingSlave) else None

    @hookimpl
    def imp_parallel_transport(self, name: str) -> UnixTransport | None:
        return self.transport if name == "unix" else None
