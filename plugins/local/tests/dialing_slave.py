"""A plugin as a stranger would write it: a transport, and a launcher for slaves that use it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from imp_parallel_core import Bootstrap, Slave, SocketStream, Stream, hookimpl
from tests.support.file_launcher import FileLaunch, FileSlave
from tests.support.unix_transport import UnixTransport


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
