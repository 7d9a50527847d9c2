"""A session over many streams: each message arrives once and in order, wherever it was cut."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.decoder import Decoder
from imp_parallel_core._wire.session import Session

from .frames import Plain, content, plain, write


@pytest.fixture(autouse=True, scope="module")
def _small_frames() -> Iterator[None]:
    """Make every limit small, so that short histories reach them all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "FRAME_LIMIT_BYTES", 60)
        patch.setattr("imp_parallel_core._wire.session._WRITE_BYTES", 100)
        patch.setattr("imp_parallel_core._wire.session._JOIN_BYTES", 30)
        patch.setattr("imp_parallel_core._wire.session._ACK_MESSAGES", 3)
        patch.setattr("imp_parallel_core._wire.session._ACK_BYTES", 150)
        yield


class End:
    """One end of the session, what it has sent and what it has received."""

    def __init__(self) -> None:
        self.session = Session(resumable=True)
        self.sent: list[Plain] = []
        self.arrived: list[Plain] = []
        self.on_the_way = b""  # written by this end, not read by the other

    def send(self, size: int) -> None:
        number = len(self.sent)
        message = (number % 250, b"%d" % number, [content(size, number), content(size // 3)])
        self.sent.append(message)
        self.session.send(*message)

    def body(self) -> bytes:
        return json.dumps({"received": self.session.received}).encode()


class Pair:
    """A master and a slave that dials again whenever the stream is cut."""

    def __init__(self) -> None:
        self.master, self.slave = End(), End()
        self.dial()

    def dial(self) -> None:
        self.slave.session.send_control(protocol.HELLO, self.slave.body())

    def write(self, end: End, limit_bytes: int) -> None:
        end.on_the_way += write(end.session, limit_bytes)

    def read(self, end: End, limit_bytes: int) -> None:
        peer = self.slave if end is self.master else self.master
        data, peer.on_the_way = peer.on_the_way[:limit_bytes], peer.on_the_way[limit_bytes:]
        messages = end.session.receive(data)
        for kind, body in end.session.take_handshake():
            end.session.resume(json.loads(body)["received"])
            if kind == protocol.HELLO:
                end.session.send_control(protocol.WELCOME, end.body())
        end.arrived += map(plain, messages)
        assert end.arrived == peer.sent[: len(end.arrived)]

    def bring(self, end: End, limit_bytes: int) -> None:
        """Write and read, as a stream does when all goes well."""
        self.write(end, limit_bytes)
        self.read(self.slave if end is self.master else self.master, limit_bytes)

    def cut(self) -> None:
        for end in (self.master, self.slave):
            end.session.lost_stream()
            end.on_the_way = b""
        self.dial()

    def finish(self) -> None:
        for _ in range(10_000):
            for end in (self.master, self.slave):
                self.write(end, 1 << 60)
                self.read(end, 1 << 60)
            ends = (self.master, self.slave)
            if not any(end.session.has_unsent or end.on_the_way for end in ends):
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
def test_each_message_arrives_once_and_in_order_wherever_the_stream_is_cut(
    steps: list[tuple[str, bool, int]],
) -> None:
    pair = Pair()
    pair.finish()
    for step, is_master, amount in steps:
        end = pair.master if is_master else pair.slave
        if step == "send":
            end.send(amount)
        elif step == "cut":
            pair.cut()
        elif step == "acknowledge":
            end.session.acknowledge()
        elif step == "ping":
            end.session.send_control(protocol.PING)
        else:
            getattr(pair, step)(end, amount)
    pair.finish()
    for end, peer in ((pair.master, pair.slave), (pair.slave, pair.master)):
        assert end.arrived == peer.sent
        assert end.session.received == len(peer.sent)
        end.session.acknowledge()
    pair.finish()
    assert not pair.master.session._unacknowledged
    assert not pair.slave.session._unacknowledged


def test_each_message_arrives_once_if_every_byte_is_a_cut() -> None:
    pair = Pair()
    pair.finish()
    pair.slave.send(200)
    pair.slave.send(5)
    for size in range(600):
        pair.write(pair.slave, size)
        pair.read(pair.master, size)
        pair.cut()
    pair.finish()
    assert pair.master.arrived == pair.slave.sent
    assert len(pair.master.arrived) == 2


def test_what_is_sent_without_a_stream_waits_for_the_next() -> None:
    pair = Pair()
    pair.finish()
    pair.cut()
    pair.slave.send(10)
    pair.master.send(10)
    hello = write(pair.slave.session)
    assert [kind for kind, _ in Decoder().feed(hello)] == [protocol.HELLO]
    assert not pair.slave.session.has_unsent
    assert not pair.master.session.has_unsent
    pair.cut()
    pair.finish()
    assert pair.master.arrived == pair.slave.sent
    assert pair.slave.arrived == pair.master.sent


def test_a_welcome_alone_does_not_resume_a_session() -> None:
    pair = Pair()
    pair.finish()
    pair.slave.send(10)
    pair.cut()
    pair.slave.send(10)
    pair.write(pair.slave, 1 << 60)
    pair.slave.session.receive(protocol.encode_frame(protocol.WELCOME, b"{}"))
    assert not pair.slave.session.has_unsent
    assert pair.slave.session.unsent() == []
    pair.slave.session.resume(0)
    assert pair.slave.session.has_unsent


def test_an_acknowledgement_that_was_due_is_not_written_to_the_next_stream() -> None:
    pair = Pair()
    pair.finish()
    for _ in range(3):
        pair.master.send(1)
    pair.bring(pair.master, 1 << 60)
    assert pair.slave.session.has_unsent
    pair.cut()
    hello = protocol.encode_frame(protocol.HELLO, pair.slave.body())
    assert write(pair.slave.session) == hello


def test_what_a_lost_stream_brought_of_a_handshake_is_forgotten() -> None:
    session = Session(resumable=True)
    session.receive(protocol.encode_frame(protocol.HELLO, b"old"))
    session.lost_stream()
    session.receive(protocol.encode_frame(protocol.HELLO, b"new"))
    assert session.take_handshake() == [(protocol.HELLO, b"new")]
