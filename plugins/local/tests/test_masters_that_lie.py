"""A slave whose master breaks the protocol says so in a line, and leaves."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import Bootstrap, LaunchPhase, SocketStream, Stream, start_processes
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.session import Session
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")


class FalseMaster:
    """The master's end of a real slave's stream, in the hands of a test."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output"
        bootstrap = Bootstrap(
            index=0,
            python=sys.executable,
            cwd=str(folder),
            output_path=str(self.output),
            sys_path=sys.path,
        )
        self.launch = start_processes([bootstrap], self._accept)
        self.session = Session()

    def _accept(self, index: int, stream: Stream) -> None:
        assert isinstance(stream, SocketStream)
        self._socket = stream._socket
        self._socket.settimeout(60)

    def hear(self) -> dict[str, object]:
        """Return what the slave's HELLO says."""
        while not (greetings := self.session.take_handshake()):
            self.session.receive(self._socket.recv(1 << 16))
        return dict(json.loads(greetings[0][1]))

    def welcome(self, body: bytes | None = None, **changes: object) -> None:
        """Let the slave in, or say something else instead."""
        said = self.hear()
        answer = {
            **{key: said[key] for key in ("protocol", "package", "python", "cloudpickle")},
            **{"session": "x", "received": 0, "descriptors": False},
            **{"heartbeat_timeout_s": 30.0, "reconnect_timeout_s": 60.0, **changes},
        }
        greeting = json.dumps(answer).encode() if body is None else body
        self.session.send_control(protocol.WELCOME, greeting)
        self.flush()

    def send(self, kind: int, head: bytes) -> None:
        self.session.send(kind, head)
        self.flush()

    def flush(self) -> None:
        while self.session.has_unsent:
            self.session.wrote(self._socket.sendmsg(self.session.unsent()))

    def last_words(self) -> str:
        """Wait until the slave has left; return all that it has said."""
        wait_until(lambda: self.launch.poll()[0].phase is LaunchPhase.ENDED, 50.0)
        return self.output.read_text()

    def close(self) -> None:
        self.launch.cancel(0.0)
        with self._socket:
            pass


@pytest.fixture
def master(tmp_path: Path) -> Iterator[FalseMaster]:
    master = FalseMaster(tmp_path)
    yield master
    master.close()


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[" * 50_000, b"[]", b"{}", b"null"], ids=lambda body: str(body[:2])
)
def test_an_answer_that_can_not_be_read_is_said_in_a_line(master: FalseMaster, body: bytes) -> None:
    master.welcome(body)
    (line,) = master.last_words().splitlines()
    assert line.startswith("imp_parallel: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"heartbeat_timeout_s": "soon"},
        {"reconnect_timeout_s": None},
        {"received": 7},
        {"received": float("inf")},
        {"received": []},
    ],
    ids=str,
)
def test_a_welcome_that_makes_no_sense_is_said_in_a_line(
    master: FalseMaster, changes: dict[str, Any]
) -> None:
    master.welcome(**changes)
    (line,) = master.last_words().splitlines()
    assert line.startswith("imp_parallel: the master's answer can't be read: ")


@pytest.mark.parametrize("kind", [protocol.TASKS, protocol.SETUP, protocol.END_ATTEMPT, 99])
def test_a_message_that_can_not_be_read_is_said_in_a_line(master: FalseMaster, kind: int) -> None:
    master.welcome()
    master.send(kind, b"?")
    (line,) = master.last_words().splitlines()
    assert line.startswith("imp_parallel: the master has gone (it ")


def test_a_master_that_goes_without_a_word_is_said_in_a_line(master: FalseMaster) -> None:
    master.welcome()
    master._socket.shutdown(socket.SHUT_RDWR)
    (line,) = master.last_words().splitlines()
    assert line.startswith("imp_parallel: the master has gone (")
