"""A link: what it writes by itself, and what becomes of a stream that breaks."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest

from imp_parallel_core import SocketStream
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.link import Link
from imp_parallel_core._wire.protocol import Message
from imp_parallel_core._wire.session import Session

from .frames import bytes_of, write_all

TINY = Message(protocol.OUTCOME, b"head", [b"value"])


class ResumableStream(SocketStream):
    resumable = True


class Wire:
    """A link at one end of a socket pair, and a plain socket at the other."""

    def __init__(self, stream: type[SocketStream]) -> None:
        self.selector = selectors.DefaultSelector()
        self.received: list[Message] = []
        self.ended: list[str] = []
        self.peer, own = socket.socketpair()
        self.peer.settimeout(10.0)
        self.link = Link(
            stream(own),
            self.selector,
            greeted=lambda *_: None,
            received=lambda _, message: self.received.append(message),
            ended=lambda _, how: self.ended.append(how),
        )
        self.link.session.introduce()

    def turn(self) -> None:
        """Handle the events that are there."""
        for key, events in self.selector.select(10.0):
            key.data(events)

    def close(self) -> None:
        self.link.close()
        self.peer.close()
        self.selector.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(SocketStream)
    yield made
    made.close()


@pytest.fixture
def resumable() -> Iterator[Wire]:
    made = Wire(ResumableStream)
    yield made
    made.close()


def test_an_acknowledgement_that_is_due_is_written_though_nothing_else_is_sent(
    resumable: Wire,
) -> None:
    peer = Session(resumable=True)
    peer.introduce()
    for _ in range(64):
        peer.send(*TINY)
    resumable.peer.sendall(write_all(peer))
    while len(resumable.received) < 64:
        resumable.turn()
    peer.receive(resumable.peer.recv(1 << 16))
    assert peer.is_acknowledged


def test_what_a_peer_sent_before_its_end_is_received_though_writing_to_it_fails(
    wire: Wire,
) -> None:
    wire.peer.sendall(bytes_of(TINY))
    wire.peer.close()
    wire.link.send(*TINY)
    wire.link.flush()
    assert not wire.ended
    while not wire.ended:
        wire.turn()
    assert len(wire.received) == 1
    assert wire.ended == ["its connection ended"]


def test_the_end_of_a_stream_is_reported_once_and_not_after_it_was_closed(wire: Wire) -> None:
    wire.peer.close()
    wire.turn()
    wire.link.read_rest()
    wire.link.close()
    assert len(wire.ended) == 1
