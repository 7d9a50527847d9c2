"""Segments in shared memory: passed as descriptors, checked by who maps them, freed by the last."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import selectors
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core import ProtocolError, SocketStream
from imp_parallel_core._wire import descriptors, protocol, shared_memory
from imp_parallel_core._wire.decoder import Decoder
from imp_parallel_core._wire.link import Link
from imp_parallel_core._wire.protocol import Message
from imp_parallel_core._wire.session import Session
from imp_parallel_core._wire.shared_memory import (
    LEAST_BYTES,
    SharedBytes,
    SharedWriter,
    adopt,
    kept,
    open_segment,
    share,
)
from imp_parallel_core._wire.types import Buffer

from .frames import bytes_of, content, plain

pytestmark = pytest.mark.skipif(not shared_memory.IS_AVAILABLE, reason="Linux has it")

SIZE = LEAST_BYTES + 1000


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    gc.collect()
    before = memory_files()
    yield
    gc.collect()
    assert memory_files() == before


_held_before: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _note_what_others_hold() -> None:
    """Count only the memory of this test: an earlier module's may be freed at any time."""
    gc.collect()
    _held_before.clear()
    _held_before.update(memory_files())


def memory_files() -> list[str]:
    """Return what shared memory this process holds, by descriptors and mapped, of this test's."""
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            held.append(str(descriptor.readlink()))
        except OSError:
            continue
    held += Path("/proc/self/maps").read_text().splitlines()
    found = Counter(line for line in held if "memfd:imp_parallel" in line)
    return list((found - _held_before).elements())


def shared(data: bytes) -> SharedBytes:
    found = share(data)
    assert found is not None
    return found


class Pair:
    """Two links over a socket pair, whose handshake is over."""

    def __init__(self, adopt: Callable[[SharedBytes], Buffer | SharedBytes] | None = adopt) -> None:
        self.selector = selectors.DefaultSelector()
        self.received: list[Message] = []
        self.ended: list[str] = []
        self.sockets = socket.socketpair()
        self.links = [
            Link(
                SocketStream(end),
                self.selector,
                greeted=lambda *_: None,
                received=lambda _, message: self.received.append(message),
                ended=lambda _, how: self.ended.append(how),
                session=Session(adopt=adopt),
            )
            for end in self.sockets
        ]
        for link in self.links:
            assert link.can_pass_descriptors
            link.session.introduce()
            link.session.passes_descriptors = True

    def run(self) -> None:
        """Let both read and write until nothing happens any more."""
        for link in self.links:
            link.flush()
        while ready := self.selector.select(0.02):
            for key, events in ready:
                if key.fileobj in self.selector.get_map():
                    key.data(events)

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.selector.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_a_segment_arrives_in_memory_of_its_own_that_can_be_written_to(pair: Pair) -> None:
    data = content(SIZE)
    segment = shared(data)
    pair.links[0].send(7, b"head", [b"small", segment, b""])
    pair.run()
    ((kind, head, arrived),) = pair.received
    segments: Sequence[Any] = arrived
    assert (kind, head, [bytes(one) for one in segments]) == (7, b"head", [b"small", data, b""])
    segments[1][:4] = b"mine"
    assert bytes(open_segment(segment)[:4]) == data[:4]
    pair.received.clear()


def test_only_the_descriptor_of_a_large_segment_goes_through_the_socket(pair: Pair) -> None:
    pair.links[0].send(7, b"", [content(SIZE), shared(content(SIZE))])
    assert sum(map(len, pair.links[0].session.unsent())) < 100
    assert len(pair.links[0].session.unsent_descriptors) == 2


def test_who_passes_on_neither_checks_nor_opens() -> None:
    pair = Pair(adopt=None)
    data = content(SIZE)
    for _ in range(2):
        pair.links[0].send(7, b"", [shared(data)])
        pair.run()
    for message in pair.received:
        pair.links[1].send(*message)
    pair.received.clear()
    pair.run()
    for message in pair.received:
        (segment,) = message.segments
        assert isinstance(segment, SharedBytes)
        segment.check()
        assert bytes(segment.open()) == data
    pair.received.clear()
    pair.close()


@given(
    st.lists(
        st.lists(
            st.tuples(st.sampled_from([0, 10, 70_000, 300_000, SIZE]), st.booleans()), max_size=4
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_any_mixture_arrives_as_it_was(described: list[list[tuple[int, bool]]], by: bool) -> None:
    pair = Pair()
    pair.links[0].session.passes_descriptors = by
    sent = []
    for number, segments in enumerate(described):
        parts = [content(size, number) for size, _ in segments]
        sent.append((number, b"x" * number, parts))
        shares = [is_shared for _, is_shared in segments]
        packed = [(share(p) or p) if s else p for p, s in zip(parts, shares, strict=True)]
        pair.links[0].send(number, b"x" * number, packed)
    pair.run()
    assert [plain(message) for message in pair.received] == sent
    assert not pair.ended
    pair.received.clear()
    pair.close()


def test_more_segments_than_may_be_passed_at_once_arrive(pair: Pair) -> None:
    data = content(LEAST_BYTES)
    segments = [shared(data) for _ in range(protocol.DESCRIPTOR_LIMIT + 3)]
    for _ in range(2):
        pair.links[0].send(7, b"", segments)
    pair.run()
    assert [len(message.segments) for message in pair.received] == [len(segments)] * 2
    assert all(segment == data for message in pair.received for segment in message.segments)
    pair.received.clear()


def test_descriptors_of_several_messages_never_wait_in_larger_numbers_than_allowed(
    pair: Pair,
) -> None:
    segment = shared(content(LEAST_BYTES))
    in_stream = [content(LEAST_BYTES - 1), content(1000)]  # a little more than one read brings
    messages: list[list[bytes | SharedBytes]] = [
        [segment, *in_stream],
        [segment],
        [segment] * protocol.DESCRIPTOR_LIMIT,
    ]
    for segments in messages:
        pair.links[0].send(7, b"", segments)
    pair.run()
    assert [len(message.segments) for message in pair.received] == list(map(len, messages))
    assert not pair.ended
    pair.received.clear()


def test_a_link_that_is_closed_for_a_message_passes_on_no_later_one(pair: Pair) -> None:
    passed_on: list[Message] = []
    one, other = socket.socketpair()

    def close(link: Link, message: Message) -> None:
        passed_on.append(message)
        link.close()

    link = Link(
        SocketStream(other),
        pair.selector,
        greeted=lambda *_: None,
        received=close,
        ended=lambda _, how: pair.ended.append(how),
    )
    link.session.introduce()
    with one:
        one.sendall(bytes_of(Message(7, b"", [b"small"])) * 3)
        pair.run()
    assert len(passed_on) == 1
    assert not pair.ended


def test_a_link_that_is_closed_lets_go_of_what_it_would_have_passed(pair: Pair) -> None:
    for _ in range(3):
        pair.links[0].send(7, b"", [content(SIZE)])
    pair.links[0].close()
    gc.collect()
    assert memory_files() == []


def test_what_was_under_way_is_freed_when_the_peer_has_died(pair: Pair) -> None:
    for _ in range(3):
        pair.links[0].send(7, b"", [content(SIZE)])
    pair.links[0].flush()
    pair.links[1].close()
    pair.run()
    assert pair.ended
    pair.received.clear()
    gc.collect()
    assert memory_files() == []


# ---- what a peer may not do


def unsealed() -> SharedBytes:
    writer = SharedWriter()
    writer.extend(content(SIZE))
    return SharedBytes(os.dup(writer._bytes.fileno()), SIZE)


def half_sealed() -> SharedBytes:
    segment = unsealed()
    fcntl.fcntl(segment.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return segment


def ordinary_file() -> SharedBytes:
    with tempfile.TemporaryFile() as file:
        file.write(content(SIZE))
        file.flush()
        return SharedBytes(os.dup(file.fileno()), SIZE)


def shorter_than_said() -> SharedBytes:
    segment = shared(content(SIZE))
    return SharedBytes(os.dup(segment.fileno()), SIZE + 1)


def longer_than_said() -> SharedBytes:
    segment = shared(content(SIZE))
    return SharedBytes(os.dup(segment.fileno()), SIZE - 1)


def pipe_end() -> SharedBytes:
    ends = os.pipe()
    os.close(ends[0])
    return SharedBytes(ends[1], SIZE)


@pytest.mark.parametrize(
    "make",
    [unsealed, half_sealed, ordinary_file, shorter_than_said, longer_than_said, pipe_end],
    ids=lambda make: make.__name__,
)
def test_memory_that_may_change_under_its_reader_is_refused(
    pair: Pair, make: Callable[[], SharedBytes]
) -> None:
    pair.links[0].send(7, b"", [make()])
    pair.run()
    assert pair.received == []
    (how,) = set(pair.ended) - {"its connection ended"}
    assert "broke the protocol" in how
    assert "shared memory" in how


def test_a_segment_without_its_descriptor_is_refused(pair: Pair) -> None:
    frames = protocol.encode_message((7, b"", [shared(content(SIZE))]), by_descriptor=True)
    pair.sockets[0].send(b"".join(b for b in frames[0] if not isinstance(b, SharedBytes)))
    pair.run()
    assert pair.received == []
    assert "no descriptor came" in pair.ended[0]


def test_descriptors_that_nothing_claims_are_refused_before_they_are_many(pair: Pair) -> None:
    segment = shared(content(SIZE))
    ping = protocol.encode_frame(protocol.PING)
    for _ in range(4):
        descriptors.send(pair.sockets[0], [ping], [segment] * 100)
    pair.run()
    assert "more descriptors" in pair.ended[0]
    del segment
    gc.collect()
    assert memory_files() == []


def test_an_end_that_does_not_take_descriptors_gets_none(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream without the capability reads them with plain recv: the system drops them."""
    segment = shared(content(SIZE))
    descriptors.send(pair.sockets[0], [protocol.encode_frame(protocol.PING)], [segment])
    monkeypatch.setattr(pair.links[1]._stream, "passes_descriptors", False)
    pair.links[1].can_pass_descriptors = False
    pair.run()
    assert not pair.ended
    assert len([line for line in memory_files() if line.startswith("/")]) == 1


def test_a_single_frame_can_not_claim_more_than_the_limit() -> None:
    decoder = Decoder()
    decoder.introduce()
    count = protocol.DESCRIPTOR_LIMIT + 1
    lengths = b"".join(((1 << 63) | 5).to_bytes(8, "big") for _ in range(count))
    body = b"\x07" + count.to_bytes(2, "big") + bytes(4) + lengths
    with pytest.raises(ProtocolError, match="descriptors"):
        decoder.feed(protocol.FRAME_HEADER.pack(len(body), protocol.WHOLE) + body)


# ---- whether a stream passes descriptors at all


def test_a_descriptor_comes_with_a_handshake_frame_and_waits_for_who_asks(pair: Pair) -> None:
    pair.links[0].session.send_control(protocol.HELLO, b"{}", shared_memory.proof())
    assert pair.links[1].session.claim_descriptor() is None
    pair.run()
    assert pair.links[1].session.claim_descriptor() is not None
    assert pair.links[1].session.claim_descriptor() is None


def test_a_stream_that_can_be_made_again_takes_no_descriptors() -> None:
    class Resumable(SocketStream):
        resumable = True

    one, other = socket.socketpair()
    with one, other:
        stream = Resumable(other)
        descriptors.send(one, [b"bytes"], [shared(content(SIZE))])
        assert stream.receive(100) == b"bytes"
        assert stream.take_descriptors() == ()
        assert not stream.passes_descriptors


# ---- limits


def test_small_segments_are_kept_as_bytes() -> None:
    data = bytearray(LEAST_BYTES - 1)
    assert share(data) is None
    assert type(kept(data)) is bytes


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))  # of which a quarter may be used
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def descriptors_below(limit: int) -> Iterator[None]:
    """Let this process open no descriptor of that number or a higher one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("free", [0, 1, 2])
def test_a_stream_from_which_not_all_descriptors_can_be_taken_is_broken(free: int) -> None:
    one, other = socket.socketpair()
    with one, other:
        descriptors.send(one, [b"bytes"], [shared(content(SIZE)) for _ in range(3)])
        placeholders = [os.dup(0) for _ in range(free + 1)]  # the lowest numbers that are free
        for number in placeholders:
            os.close(number)
        with descriptors_below(placeholders[-1]), pytest.raises(OSError, match="open files"):
            descriptors.receive(other, 100)


def test_descriptors_beyond_those_that_may_be_in_flight_wait_until_some_are_taken() -> None:
    one, other = socket.socketpair()
    segment, sent = shared(content(SIZE)), 0
    with one, other:
        one.setblocking(False)
        limit = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 10
        with descriptors_below(limit):
            while sent <= 4 * limit:
                try:
                    descriptors.send(one, [b"x"], [segment] * 8)
                except BlockingIOError:
                    break
                sent += 8
        if os.geteuid() == 0:
            pytest.skip("the system does not limit root")
        assert 0 < sent <= 2 * limit
        for _ in range(sent // 8):
            assert len(descriptors.receive(other, 1)[1]) == 8
        assert descriptors.send(one, [b"x"], [segment]) == 1


def test_when_descriptors_are_scarce_segments_are_copied(few_descriptors: None, pair: Pair) -> None:
    data = content(SIZE)
    segments = [kept(data) for _ in range(30)]
    assert {type(segment) for segment in segments} == {SharedBytes, bytes}
    for segment in segments:
        pair.links[0].send(7, b"", [segment])
    pair.run()
    assert [message.segments[0] for message in pair.received] == [data] * 30
    assert not pair.ended
    pair.received.clear()


def test_memory_that_can_not_be_written_is_no_obstacle() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        segment = kept(content(SIZE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert segment == content(SIZE)
