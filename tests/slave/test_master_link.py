"""The supervisor's session with the master: refused, resumed, or dialled for again."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from imp_parallel_core import SocketStream, Stream
from imp_parallel_core._slave.master_link import EXIT_OK, EXIT_REFUSED, MasterLink
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.handshake import RUN_IS_OVER, refusal, slave_identity, welcome
from imp_parallel_core._wire.session import Session


class ResumableStream(SocketStream):
    resumable = True


class Master:
    """A MasterLink in a loop, and the master's ends of its streams."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.exit_codes: list[int] = []
        self.dialled_at: list[float] = []
        self.problem: Exception | None = None
        self.socket, own = socket.socketpair()
        self.link = MasterLink(
            ResumableStream(own),
            self.dial,
            slave_identity(0),
            self.selector,
            welcomed=lambda: None,
            received=lambda message: None,
            over=self.exit_codes.append,
        )
        self.link.introduce("3.1.0")
        self.link.flush()

    def dial(self, patience_s: float) -> Stream:
        """Make another stream; called in a thread."""
        self.dialled_at.append(time.monotonic())
        if self.problem is not None:
            raise self.problem
        self.socket, own = socket.socketpair()
        return ResumableStream(own)

    def welcome(self, token: str) -> None:
        """Read a HELLO, and answer it with a WELCOME."""
        self.socket.settimeout(30.0)
        session = Session()
        while not (frames := session.take_handshake()):
            session.receive(self.socket.recv(1 << 16))
        versions = json.loads(frames[0][1])
        body = welcome(versions["cloudpickle"], token, 0, 30.0, 60.0, passes_descriptors=False)
        self.socket.sendall(protocol.encode_frame(protocol.WELCOME, body))

    def cut(self) -> float:
        """End the stream; return when."""
        self.socket.close()
        return time.monotonic()

    def turn_until(self, condition: Callable[[], Any]) -> None:
        """Run the loop until a condition holds."""
        deadline = time.monotonic() + 60.0
        while not condition():
            assert time.monotonic() < deadline
            for key, events in self.selector.select(0.1):
                key.data(events)
            self.link.flush()

    def close(self) -> None:
        self.link.finish()
        self.link.close()
        self.socket.close()
        self.selector.close()


@pytest.fixture
def master() -> Iterator[Master]:
    made = Master()
    yield made
    made.close()


def dialled_again(master: Master, count: int) -> bool:
    """Whether the link has so many later streams, and has taken the last one."""
    return len(master.dialled_at) == count and master.link.has_sent_everything


def test_a_slave_goes_on_with_its_session_over_another_stream(
    master: Master, capfd: pytest.CaptureFixture[str]
) -> None:
    master.welcome("token")
    master.turn_until(lambda: master.link.is_welcome)
    master.cut()
    master.turn_until(lambda: dialled_again(master, 1))
    master.welcome("token")
    master.turn_until(lambda: "connected again" in capfd.readouterr().err)
    assert not master.exit_codes


def test_a_slave_that_was_let_go_takes_the_end_of_its_stream_for_no_loss(
    master: Master, capfd: pytest.CaptureFixture[str]
) -> None:
    master.welcome("token")
    master.turn_until(lambda: master.link.is_welcome)
    master.link.expect_end()
    master.cut()
    master.turn_until(lambda: not master.link.has_sent_everything)  # the stream has ended
    assert not master.dialled_at
    assert not capfd.readouterr().err


def test_a_slave_leaves_a_master_that_begins_another_session(
    master: Master, capfd: pytest.CaptureFixture[str]
) -> None:
    master.welcome("token")
    master.turn_until(lambda: master.link.is_welcome)
    master.cut()
    master.turn_until(lambda: dialled_again(master, 1))
    master.welcome("another")
    master.turn_until(lambda: master.exit_codes)
    assert master.exit_codes == [EXIT_REFUSED]
    assert "began another session" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("reason", "exit_code", "said"),
    [
        (RUN_IS_OVER, EXIT_OK, ""),
        ("no", EXIT_REFUSED, "imp_parallel: the master refused this slave: no\n"),
    ],
)
def test_a_slave_that_is_refused_says_why_unless_the_run_is_just_over(
    master: Master, capfd: pytest.CaptureFixture[str], reason: str, exit_code: int, said: str
) -> None:
    master.socket.sendall(protocol.encode_frame(protocol.REFUSE, refusal(reason)))
    master.turn_until(lambda: master.exit_codes)
    assert master.exit_codes == [exit_code]
    assert capfd.readouterr().err == said


@pytest.mark.parametrize(("is_welcome", "said"), [(False, ""), (True, "the master has gone (its ")])
def test_a_slave_whose_only_stream_ends_says_so_only_if_it_was_welcome(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    is_welcome: bool,
    said: str,
) -> None:
    monkeypatch.setattr(ResumableStream, "resumable", False)
    master = Master()
    if is_welcome:
        master.welcome("first")
        master.turn_until(lambda: master.link.is_welcome)
    master.cut()
    master.turn_until(lambda: master.exit_codes)
    assert master.exit_codes == [EXIT_OK]
    assert said in (told := capfd.readouterr().err)
    assert bool(said) == bool(told)
    master.close()


def test_streams_that_end_at_once_are_followed_by_others_after_growing_pauses(
    master: Master,
) -> None:
    pauses = []
    for count in range(1, 4):
        cut_at = master.cut()
        master.turn_until(partial(dialled_again, master, count))
        pauses.append(master.dialled_at[-1] - cut_at)
    assert pauses[0] >= 0.1
    assert pauses[1] >= 0.3
    assert pauses[2] >= 0.7


def test_a_transport_that_fails_to_dial_ends_the_slave_and_says_why(
    master: Master, capfd: pytest.CaptureFixture[str]
) -> None:
    master.problem = RuntimeError("a fault of a plugin")
    master.cut()
    master.turn_until(lambda: master.exit_codes)
    assert master.exit_codes == [1]
    assert "can't dial again: RuntimeError: a fault of a plugin" in capfd.readouterr().err
