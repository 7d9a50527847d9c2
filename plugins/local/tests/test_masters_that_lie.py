"""A slave whose master breaks the protocol says so in a line, and leaves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core._wire import protocol
from tests.support.false_master import FalseMaster

pytestmark = pytest.mark.usefixtures("traced_slaves")


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
    master.socket.shutdown(socket.SHUT_RDWR)
    (line,) = master.last_words().splitlines()
    assert line.startswith("imp_parallel: the master has gone (")
