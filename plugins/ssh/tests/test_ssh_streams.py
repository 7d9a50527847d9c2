"""The streams of both clients are what the core expects of a stream."""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hosts import client, there
from imp_parallel_ssh._clients import CLIENTS
from imp_parallel_ssh._connection import Channel, Connection

from imp_parallel_core import SocketStream, Stream, testing
from tests.support.sshd import Sshd

__all__ = ["client", "there"]  # fixtures

# Runs on the host, and joins a channel to a socket: the peer of the channel's stream.
JOIN = """
import os, socket, sys, threading
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
def to_master():
    while data := peer.recv(65536):
        while data:
            data = data[os.write(1, data):]
    os._exit(0)
threading.Thread(target=to_master).start()
try:
    while data := os.read(0, 65536):
        peer.sendall(data)
except OSError:
    pass
os._exit(0)
"""


class Pairs:
    """Makes channels over a connection, each with a socket at the other end."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._channels: list[Channel] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(30.0)
        self._listener.bind(str(folder / "peer"))
        self._listener.listen()
        words = [sys.executable, "-c", f"exec({JOIN!r})", str(folder / "peer")]
        self._command = shlex.join(words)

    def make(self) -> tuple[Stream, Stream]:
        channel = self._connection.start(self._command, lambda data: None)
        self._channels.append(channel)
        theirs, _ = self._listener.accept()
        return channel.stream, SocketStream(theirs)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
        self._listener.close()


@pytest.fixture
def pairs(there: Sshd, client: str) -> Iterator[Pairs]:
    with closing(CLIENTS[client]("there", 20.0)) as connection:
        with closing(Pairs(connection, there.tmp)) as made:
            yield made
        (there.tmp / "peer").unlink()


@pytest.mark.parametrize("check", testing.stream_checks())
def test_the_streams_of_channels_conform(pairs: Pairs, check: testing.StreamCheck) -> None:
    check(pairs.make)
