"""One end of a wire: handshake first, heartbeats between, acknowledgements when resumable."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imp_parallel_core._errors import ProtocolError
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.decoder import Decoder
from imp_parallel_core._wire.protocol import Message
from imp_parallel_core._wire.session import _ACK_MESSAGES, Session

from .frames import FRAME, bytes_of, content, cut, messages, plain, write, write_all

MIB = 1024 * 1024


def introduced(*, resumable: bool = False) -> Session:
    session = Session(resumable=resumable)
    session.introduce()
    return session


def send(session: Session, *sent: Message) -> None:
    for message in sent:
        session.send(*message)


def parsed(data: bytes | bytearray) -> list[tuple[int, Any]]:
    decoder = Decoder()
    decoder.introduce()
    return decoder.feed(data)


def kinds(data: bytes) -> list[int]:
    return [kind for kind, _ in parsed(data)]


TINY = Message(protocol.OUTCOME, b"head", [b"value"])


# ---- messages


@settings(deadline=None, max_examples=60)
@given(
    st.lists(messages(), max_size=4),
    st.lists(st.integers(1, FRAME), min_size=1, max_size=10),
)
def test_messages_arrive_in_order_however_little_is_taken_at_a_time(
    sent: list[Message], limits: list[int]
) -> None:
    sender, receiver = introduced(), introduced()
    send(sender, *sent)
    arrived = []
    while sender.has_unsent:
        # after the small writes, larger ones: a test should end
        limit_bytes = limits.pop(0) if limits else MIB
        arrived += receiver.receive(write(sender, limit_bytes))
    assert [plain(message) for message in arrived] == [plain(message) for message in sent]
    assert receiver.received == len(sent)


def test_a_session_says_exactly_when_there_is_something_to_write() -> None:
    session = introduced()
    assert not session.has_unsent
    assert session.unsent() == []
    send(session, TINY)
    assert session.has_unsent
    session.wrote(len(session.unsent()[0]) - 1)
    assert session.has_unsent
    session.wrote(1)
    assert not session.has_unsent
    assert session.unsent() == []


def test_what_was_offered_is_offered_again_until_it_is_written() -> None:
    session = introduced()
    send(session, TINY)
    offered = b"".join(session.unsent())
    session.send_control(protocol.PING)
    assert b"".join(session.unsent()) == offered
    session.wrote(3)
    assert b"".join(session.unsent()) == offered[3:]


def test_many_small_messages_are_one_buffer_to_write() -> None:
    session = introduced()
    send(session, *[TINY] * 1000)
    (buffer,) = session.unsent()
    assert buffer == bytes_of(TINY) * 1000


def test_a_large_segment_is_written_without_a_copy() -> None:
    segment = bytearray(8 * FRAME)
    session = introduced()
    send(session, Message(protocol.OUTCOME, b"", [segment]))
    segment[:] = b"x" * len(segment)
    assert write_all(session).count(b"x") == len(segment)


def test_no_write_has_more_buffers_than_a_system_takes() -> None:
    session = introduced()
    for size in (10, 20_000) * 2000:
        send(session, Message(protocol.OUTCOME, b"", [bytes(size)]))
    while session.has_unsent:
        assert len(session.unsent()) <= 132
        write(session)


# ---- heartbeats


@pytest.mark.parametrize("limit_bytes", [5000, 100_000, 1 << 60])
def test_a_ping_overtakes_the_rest_of_a_large_message(limit_bytes: int) -> None:
    session = introduced()
    send(session, Message(protocol.OUTCOME, b"", [b"x" * (10 * MIB)]))
    before = bytearray()
    while len(before) < 4.5 * MIB:
        before += write(session, limit_bytes)
    session.send_control(protocol.PING)
    after = write_all(session)
    arrived = parsed(before + after)
    assert [kind for kind, _ in arrived] == [protocol.PING, protocol.WHOLE]
    ping = protocol.encode_frame(protocol.PING)
    assert after.index(ping) <= 1.25 * MIB


def test_a_ping_is_heard_between_the_parts_of_a_large_message_and_changes_nothing() -> None:
    sender, receiver = introduced(), introduced()
    large = Message(protocol.OUTCOME, b"head", [content(10 * MIB)])
    send(sender, large)
    arrived = []
    while sender.has_unsent:
        arrived += receiver.receive(write(sender, 300_000))
        if not arrived:
            sender.send_control(protocol.PING)
    assert [plain(message) for message in arrived] == [plain(large)]
    assert receiver.received == 1


# ---- the handshake


def test_messages_wait_for_the_welcome_at_both_ends() -> None:
    slave, master = Session(), Session()
    send(slave, TINY)
    send(master, TINY)
    assert not slave.has_unsent
    assert not master.has_unsent
    slave.send_control(protocol.HELLO, b"{}")
    hello = write_all(slave)
    assert kinds(hello) == [protocol.HELLO]
    assert master.receive(hello) == []
    assert master.take_handshake() == [(protocol.HELLO, b"{}")]
    assert not master.has_unsent
    master.send_control(protocol.WELCOME, b"{}")
    welcome = write_all(master)
    assert kinds(welcome) == [protocol.WELCOME, protocol.WHOLE]
    assert [plain(message) for message in slave.receive(welcome)] == [plain(TINY)]
    assert slave.take_handshake() == [(protocol.WELCOME, b"{}")]
    assert slave.take_handshake() == []
    assert [plain(message) for message in master.receive(write_all(slave))] == [plain(TINY)]


def test_the_end_that_welcomes_may_speak_first() -> None:
    supervisor, runner = Session(), Session()
    supervisor.send_control(protocol.WELCOME, b"{}")
    send(supervisor, TINY)
    assert len(runner.receive(write_all(supervisor))) == 1
    assert runner.take_handshake() == [(protocol.WELCOME, b"{}")]
    send(runner, TINY)
    runner.send_control(protocol.HELLO, b"{}")
    assert len(supervisor.receive(write_all(runner))) == 1
    assert supervisor.take_handshake() == [(protocol.HELLO, b"{}")]


def test_a_slave_that_is_refused_sends_no_message() -> None:
    slave = Session()
    send(slave, TINY)
    slave.receive(protocol.encode_frame(protocol.REFUSE, b"{}"))
    assert slave.take_handshake() == [(protocol.REFUSE, b"{}")]
    assert not slave.has_unsent


def test_a_message_before_the_handshake_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Session().receive(bytes_of(TINY))


def test_the_limit_of_a_message_is_kept() -> None:
    session = Session(limit_bytes=4)
    session.introduce()
    with pytest.raises(ProtocolError):
        session.receive(bytes_of(TINY))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=5), st.booleans(), st.booleans())
def test_garbage_gives_a_protocol_error_or_nothing(
    pieces: list[bytes], resumable: bool, is_introduced: bool
) -> None:
    session = Session(resumable=resumable)
    if is_introduced:
        session.introduce()
    try:
        for piece in pieces:
            session.receive(piece)
    except ProtocolError:
        pass


# ---- acknowledgement


def kept(session: Session) -> int:
    return len(session._unacknowledged)


def test_what_the_peer_has_is_not_kept() -> None:
    sender, receiver = introduced(resumable=True), introduced(resumable=True)
    for i in range(1000):
        send(sender, TINY)
        receiver.receive(write_all(sender))
        sender.receive(write_all(receiver))
        assert kept(sender) < _ACK_MESSAGES, i
    receiver.acknowledge()
    sender.receive(write_all(receiver))
    assert kept(sender) == 0


@pytest.mark.parametrize("chunk", [50_000, 1 << 60])
def test_a_large_message_is_acknowledged_at_once(chunk: int) -> None:
    sender, receiver = introduced(resumable=True), introduced(resumable=True)
    send(sender, Message(protocol.OUTCOME, b"", [bytes(3 * MIB)]))
    for piece in cut(write_all(sender), range(0, 4 * MIB, min(chunk, 4 * MIB))):
        receiver.receive(piece)
    sender.receive(write_all(receiver))
    assert kept(sender) == 0


def test_acknowledgements_that_are_not_written_yet_become_one() -> None:
    receiver = introduced(resumable=True)
    receiver.receive(bytes_of(TINY) * 64)
    receiver.receive(bytes_of(TINY) * 64)
    ((kind, body),) = parsed(write_all(receiver))
    assert (kind, protocol.decode_ack(body)) == (protocol.ACK, 128)


def test_nothing_new_is_not_acknowledged() -> None:
    receiver = introduced(resumable=True)
    receiver.acknowledge()
    receiver.receive(protocol.encode_frame(protocol.PING))
    receiver.acknowledge()
    assert not receiver.has_unsent


@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize("count", [0, 4, 2**64 - 1])
def test_a_wrong_acknowledgement_is_a_protocol_error(resumable: bool, count: int) -> None:
    session = introduced(resumable=resumable)
    send(session, TINY, TINY, TINY)
    session.receive(protocol.encode_ack(2))
    session.receive(protocol.encode_ack(2))
    with pytest.raises(ProtocolError, match="2 to 3 are possible"):
        session.receive(protocol.encode_ack(count))
    with pytest.raises(ProtocolError, match="2 to 3 are possible"):
        session.resume(count)


def test_a_session_that_can_not_be_resumed_keeps_nothing_and_acknowledges_nothing() -> None:
    sender, receiver = introduced(), introduced()
    send(sender, *[TINY] * 200, Message(protocol.OUTCOME, b"", [bytes(2 * MIB)]))
    receiver.receive(write_all(sender))
    receiver.acknowledge()
    assert not receiver.has_unsent
    assert kept(sender) == 0


def test_a_new_session_may_begin_with_a_resume_without_losing_what_is_queued() -> None:
    for resumable in (False, True):
        session = introduced(resumable=resumable)
        send(session, TINY)
        session.resume(0)
        assert kinds(write_all(session)) == [protocol.WHOLE]


def test_messages_before_the_byte_that_is_wrong_are_received() -> None:
    sender, receiver = Session(), Session()
    for session in (sender, receiver):
        session.introduce()
    sender.send(protocol.OUTCOME, b"head", [b"payload"])
    good = b"".join(bytes(buffer) for buffer in sender.unsent())
    (message,) = receiver.receive(good + b"\xff" * 64)
    assert (message.kind, message.head, list(message.segments)) == (
        protocol.OUTCOME,
        b"head",
        [b"payload"],
    )
    assert receiver.error is not None
    with pytest.raises(ProtocolError):
        receiver.receive(b"")
