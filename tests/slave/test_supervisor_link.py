"""The runner's end of the wire, and a supervisor's end in the hands of a test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from imp_parallel_core._slave.supervisor_link import SupervisorLink
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.protocol import Message
from imp_parallel_core._wire.session import Session

MANY = [
    bytes(1 << 16)
] * 100  # more than a wire takes at once, and each too small for shared memory


class Wire:
    """A wire, with the runner's link at one end."""

    def __init__(self) -> None:
        self.supervisor, self.runner = socket.socketpair()
        self.supervisor.settimeout(60)
        self.session = Session()
        self.received: list[Message] = []
        self.link = SupervisorLink(self.runner, self.received.append)
        self.session.send_control(protocol.WELCOME, b"3\0/home")
        self.write()
        self.welcome = self.link.wait_for_welcome()

    def write(self) -> None:
        """Write what the supervisor's session has queued."""
        while self.session.has_unsent:
            self.session.wrote(self.supervisor.sendmsg(self.session.unsent()))

    def read(self) -> list[Message]:
        """Return the messages that come next at the supervisor's end."""
        while True:
            messages = list(self.session.receive(self.supervisor.recv(1 << 16)))
            if messages:
                return messages


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.supervisor.close()
    wire.runner.close()


def test_a_runner_waits_for_its_welcome_and_answers_it(wire: Wire) -> None:
    assert wire.welcome == b"3\0/home"
    wire.link.answer_welcome(b"3.1.2")
    assert list(wire.session.receive(wire.supervisor.recv(1 << 16))) == []
    assert wire.session.take_handshake() == [(protocol.HELLO, b"3.1.2")]


def test_a_runner_does_not_wait_for_messages_that_an_earlier_read_has_brought(wire: Wire) -> None:
    for _ in range(2):
        wire.session.send(protocol.FORGET, b"head")
    wire.write()
    wire.link.read()
    assert [message.kind for message in wire.received] == [protocol.FORGET] * 2
    wire.link.read_what_is_there()
    assert len(wire.received) == 2


def test_a_message_has_been_written_in_whole_when_send_returns(wire: Wire) -> None:
    got: list[Message] = []
    reader = threading.Thread(target=lambda: got.extend(wire.read()))
    reader.start()
    wire.link.send(protocol.OUTCOME, b"head", MANY)
    wire.runner.close()  # what has not been written would be lost
    reader.join(60)
    assert [message.kind for message in got] == [protocol.OUTCOME]


def test_the_end_of_the_wire_is_the_end_of_the_runner(wire: Wire) -> None:
    wire.supervisor.close()
    with pytest.raises(SystemExit):
        wire.link.read()
