"""A session over many streams: each message arrives once and in order, wherever it was cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imp_parallel_core._wire import protocol
from imp_parallel_core._wire import session as connections
from imp_parallel_core._wire.decoder import Decoder
from imp_parallel_core._wire.session import Connection

from .wire import content, plain, write


@pytest.fixture(autouse=True, scope="module")
def _small_frames():
    """Make every limit small, so that short histories reach them all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "FRAME_LIMIT_BYTES", 60)
        patch.setattr(connections, "_WRITE_BYTES", 100)
        patch.setattr(connections, "_JOIN_BYTES", 30)
        patch.setattr(connections, "_ACK_MESSAGES", 3)
        patch.setattr(connections, "_ACK_BYTES", 150)
        yield


class End:
    """One end of the session, what it has sent and what it has received."""

    def __init__(self):
        self.connection = Connection(resumable=True)
        self.sent = []
        self.arrived = []
        self.on_the_way = b""  # written by this end, not read by the other

    def send(self, size):
        number = len(self.sent)
        message = (number % 250, b"%d" % number, [content(size, number), content(size // 3)])
        self.sent.append(message)
        self.connection.send(*message)

    def body(self):
        return json.dumps({"received": self.connection.received}).encode()


class Session:
    """A master and a slave that dials again whenever the stream is cut."""

    def __init__(self):
        self.master, self.slave = End(), End()
        self.dial()

    def dial(self):
        self.slave.connection.send_control(protocol.HELLO, self.slave.body())

    def write(self, end, limit_bytes):
        end.on_the_way += write(end.connection, limit_bytes)

    def read(self, end, limit_bytes):
        peer = self.slave if end is self.master else self.master
        data, peer.on_the_way = peer.on_the_way[:limit_bytes], peer.on_the_way[limit_bytes:]
        messages = end.connection.receive(data)
        for kind, body in end.connection.take_handshake():
            end.connection.resume(json.loads(body)["received"])
            if kind == protocol.HELLO:
                end.connection.send_control(protocol.WELCOME, end.body())
        end.arrived += map(plain, messages)
        assert end.arrived == peer.sent[: len(end.arrived)]

    def bring(self, end, limit_bytes):
        """Write and read, as a stream does when all goes well."""
        self.write(end, limit_bytes)
        self.read(self.slave if end is self.master else self.master, limit_bytes)

    def cut(self):
        for end in (self.master, self.slave):
            end.connection.lost_stream()
            end.on_the_way = b""
        self.dial()

    def finish(self):
        for _ in range(10_000):
            for end in (self.master, self.slave):
                self.write(end, 1 << 60)
                self.read(end, 1 << 60)
            ends = (self.master, self.slave)
            if not any(end.connection.has_unsent or end.on_the_way for end in ends):
                return
        raise AssertionError("the two ends never come to rest")


amounts = st.one_of(st.integers(1, 200), st.just(1 << 60))
steps = st.one_of(
    st.tuples(st.just("send"), st.booleans(), st.integers(0, 250)),
    st.tuples(st.sampled_from(["write", "read"]), st.booleans(), amounts),
    st.tuples(st.just("bring"), st.booleans(), amounts),
    st.tuples(st.just("bring"), st.booleans(), st.just(1 << 60)),
    st.tuples(st.sampled_from(["cut", "acknowledge", "ping"]), st.booleans(), st.just(0)),
)


@settings(deadline=None, max_examples=400)
@given(st.lists(steps, max_size=60))
def test_each_message_arrives_once_and_in_order_wherever_the_stream_is_cut(steps):
    session = Session()
    session.finish()
    for step, is_master, amount in steps:
        end = session.master if is_master else session.slave
        if step == "send":
            end.send(amount)
        elif step == "cut":
            session.cut()
        elif step == "acknowledge":
            end.connection.acknowledge()
        elif step == "ping":
            end.connection.send_control(protocol.PING)
        else:
            getattr(session, step)(end, amount)
    session.finish()
    for end, peer in ((session.master, session.slave), (session.slave, session.master)):
        assert end.arrived == peer.sent
        assert end.connection.received == len(peer.sent)
        end.connection.acknowledge()
    session.finish()
    assert not session.master.connection._unacknowledged
    assert not session.slave.connection._unacknowledged


def test_each_message_arrives_once_if_every_byte_is_a_cut():
    session = Session()
    session.finish()
    session.slave.send(200)
    session.slave.send(5)
    for size in range(600):
        session.write(session.slave, size)
        session.read(session.master, size)
        session.cut()
    session.finish()
    assert session.master.arrived == session.slave.sent
    assert len(session.master.arrived) == 2


def test_what_is_sent_without_a_stream_waits_for_the_next():
    session = Session()
    session.finish()
    session.cut()
    session.slave.send(10)
    session.master.send(10)
    hello = write(session.slave.connection)
    assert [kind for kind, _ in Decoder().feed(hello)] == [protocol.HELLO]
    assert not session.slave.connection.has_unsent
    assert not session.master.connection.has_unsent
    session.cut()
    session.finish()
    assert session.master.arrived == session.slave.sent
    assert session.slave.arrived == session.master.sent


def test_a_welcome_alone_does_not_resume_a_session():
    session = Session()
    session.finish()
    session.slave.send(10)
    session.cut()
    session.slave.send(10)
    session.write(session.slave, 1 << 60)
    session.slave.connection.receive(protocol.encode_frame(protocol.WELCOME, b"{}"))
    assert not session.slave.connection.has_unsent
    assert session.slave.connection.unsent() == []
    session.slave.connection.resume(0)
    assert session.slave.connection.has_unsent


def test_an_acknowledgement_that_was_due_is_not_written_to_the_next_stream():
    session = Session()
    session.finish()
    for _ in range(3):
        session.master.send(1)
    session.bring(session.master, 1 << 60)
    assert session.slave.connection.has_unsent
    session.cut()
    hello = write(session.slave.connection)
    assert [kind for kind, _ in Decoder().feed(hello)] == [protocol.HELLO]


def test_what_a_lost_stream_brought_of_a_handshake_is_forgotten():
    connection = Connection(resumable=True)
    connection.receive(protocol.encode_frame(protocol.HELLO, b"old"))
    connection.lost_stream()
    connection.receive(protocol.encode_frame(protocol.HELLO, b"new"))
    assert connection.take_handshake() == [(protocol.HELLO, b"new")]
