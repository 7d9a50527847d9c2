"""Bytes in, frames and messages out: whatever the bytes, however they are cut."""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imp_parallel_core._errors import ProtocolError
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.decoder import Decoder
from imp_parallel_core._wire.protocol import Message, encode_frame, encode_message
from imp_parallel_core._wire.segments import DroppedSegments

from .frames import FRAME, bytes_of, content, cut, in_stream, introduced, messages, plain, sizes

HANDSHAKE = [protocol.HELLO, protocol.WELCOME, protocol.REFUSE]
HANDSHAKE_LIMIT = protocol.HANDSHAKE_LIMIT_BYTES
HEADER = protocol.FRAME_HEADER
points = st.lists(st.integers(0, 4 * FRAME), max_size=12)
unhurried = settings(deadline=None, max_examples=60)


def start_of(
    lengths: Sequence[int],
    head: bytes = b"",
    count: int | None = None,
    head_length: int | None = None,
) -> bytes:
    """Return the start of a message's first frame body, true or not."""
    return (
        Struct("!BHI").pack(
            protocol.OUTCOME,
            len(lengths) if count is None else count,
            len(head) if head_length is None else head_length,
        )
        + Struct(f"!{len(lengths)}Q").pack(*lengths)
        + head
    )


def frame(kind: int, body: bytes, length: int | None = None) -> bytes:
    return HEADER.pack(len(body) if length is None else length, kind) + body


# ---- what arrives is what was sent


@unhurried
@given(st.lists(messages(), max_size=3), points)
def test_messages_survive_any_split_of_their_bytes(sent: list[Message], points: list[int]) -> None:
    decoder = introduced()
    arrived: list[tuple[int, Any]] = []
    for piece in cut(b"".join(map(bytes_of, sent)), points):
        arrived += decoder.feed(piece)
    assert [kind for kind, _ in arrived] == [protocol.WHOLE] * len(sent)
    assert [plain(message) for _, message in arrived] == [plain(message) for message in sent]


@settings(deadline=None, max_examples=30)
@given(st.lists(messages(st.integers(0, 30)), max_size=4))
def test_messages_survive_coming_byte_by_byte(sent: list[Message]) -> None:
    decoder = introduced()
    data = b"".join(map(bytes_of, sent))
    arrived = [f for i in range(len(data)) for f in decoder.feed(data[i : i + 1])]
    assert [plain(message) for _, message in arrived] == [plain(message) for message in sent]


@unhurried
@given(messages(), points, st.integers(min_value=0))
def test_a_truncated_message_is_no_message_and_no_error(
    message: Message, points: list[int], size: int
) -> None:
    data = bytes_of(message)
    decoder = introduced()
    for piece in cut(data[: size % len(data)], points):
        assert decoder.feed(piece) == []


@unhurried
@given(messages(), points, st.sampled_from([bytes, bytearray, memoryview]))
def test_the_bytes_may_come_in_a_buffer_that_is_used_again(
    message: Message, points: list[int], form: Callable[[bytearray], bytes]
) -> None:
    decoder = introduced()
    arrived: list[tuple[int, Any]] = []
    for piece in cut(bytes_of(message), points):
        reused = bytearray(piece)
        arrived += decoder.feed(form(reused))
        reused[:] = bytes(len(reused))
    ((_, got),) = arrived
    assert plain(got) == plain(message)


@unhurried
@given(st.lists(sizes, min_size=1, max_size=4), points)
def test_a_segment_is_writable_if_it_is_larger_than_a_frame_however_it_was_cut(
    sizes: list[int], points: list[int]
) -> None:
    decoder = introduced()
    arrived: list[tuple[int, Any]] = []
    sent = Message(protocol.OUTCOME, b"", [content(n) for n in sizes])
    for piece in cut(bytes_of(sent), points):
        arrived += decoder.feed(piece)
    ((_, got),) = arrived
    assert [type(segment) for segment in got.segments] == [
        bytearray if size > FRAME else bytes for size in sizes
    ]


def test_frames_between_the_parts_of_a_message_come_first() -> None:
    first, last = encode_message(Message(protocol.TASKS, b"head", [content(FRAME + 1)]))
    data = b"".join(
        [
            *map(in_stream, first),
            encode_frame(protocol.PING),
            protocol.encode_ack(7),
            *map(in_stream, last),
        ]
    )
    arrived: list[tuple[int, Any]] = introduced().feed(data)
    assert [kind for kind, _ in arrived] == [protocol.PING, protocol.ACK, protocol.WHOLE]
    assert protocol.decode_ack(arrived[1][1]) == 7
    assert plain(arrived[2][1]) == (protocol.TASKS, b"head", [content(FRAME + 1)])


def test_a_reset_decoder_begins_anew() -> None:
    message = Message(protocol.TASKS, b"head", [content(2 * FRAME)])
    data = bytes_of(message)
    decoder = introduced()
    for stop in (3, 9, FRAME, FRAME + 7, FRAME + 500, len(data) - 1):
        decoder.feed(data[:stop])
        decoder.reset()
        assert not decoder.is_introduced
        decoder.introduce()
        ((_, got),) = decoder.feed(data)
        assert plain(got) == plain(message)


# ---- what is sent


@unhurried
@given(messages())
def test_no_frame_is_larger_than_a_frame_may_be(message: Message) -> None:
    frames = encode_message(message)
    kinds = []
    for buffers in frames:
        data = b"".join(map(in_stream, buffers))
        length, kind = HEADER.unpack_from(data)
        assert length == len(data) - HEADER.size <= FRAME
        kinds.append(kind)
    assert kinds == [protocol.PART] * (len(frames) - 1) + [protocol.WHOLE]


def test_a_large_segment_is_not_copied_when_it_is_encoded() -> None:
    segment = bytearray(4 * FRAME)
    frames = encode_message(Message(protocol.OUTCOME, b"", [segment]))
    segment[:] = b"x" * len(segment)
    assert b"".join(in_stream(b) for buffers in frames for b in buffers).count(b"x") == len(segment)


def test_many_middling_segments_make_few_buffers() -> None:
    segments = [content(1000, i) for i in range(2000)]
    frames = encode_message(Message(protocol.OUTCOME, b"", segments))
    assert sum(map(len, frames)) <= 2 * (2_000_000 // FRAME + 2)
    ((_, got),) = introduced().feed(b"".join(in_stream(b) for buffers in frames for b in buffers))
    assert isinstance(got, Message)
    assert got.segments == segments


def test_a_view_of_wider_items_is_sent_as_its_bytes() -> None:
    for count in (3, FRAME):
        view: Any = memoryview(bytearray(content(8 * count))).cast("d")
        ((_, got),) = introduced().feed(bytes_of(Message(protocol.OUTCOME, b"", [view])))
        assert isinstance(got, Message)
        assert got.segments == [content(8 * count)]


def test_what_can_not_be_accepted_is_not_sent() -> None:
    with pytest.raises(ValueError, match="head"):
        encode_message(Message(1, bytes(FRAME), []))
    with pytest.raises(ValueError, match="segments"):
        encode_message(Message(1, b"", [b""] * (protocol.SEGMENT_COUNT_LIMIT + 1)))
    with pytest.raises(ValueError, match="frame"):
        encode_frame(protocol.HELLO, bytes(HANDSHAKE_LIMIT + 1))
    with pytest.raises(ValueError, match="frame"):
        encode_frame(protocol.PING, b"x")


def test_the_largest_head_and_the_most_segments_arrive() -> None:
    most = Message(1, b"", [b"x"] * protocol.SEGMENT_COUNT_LIMIT)
    largest = Message(2, content(FRAME - 15), [content(FRAME)])
    arrived = introduced().feed(bytes_of(most) + bytes_of(largest))
    assert [plain(message) for _, message in arrived] == [plain(most), plain(largest)]


# ---- what can't be right


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=300), max_size=8), st.booleans())
@example([b"GET / HTTP/1.1\r\n"], False)
@example([b"SSH-2.0-OpenSSH_9.6\r\n"], True)
def test_garbage_gives_a_protocol_error_or_nothing(
    pieces: list[bytes], is_introduced: bool
) -> None:
    decoder = introduced() if is_introduced else Decoder()
    try:
        for piece in pieces:
            decoder.feed(piece)
    except ProtocolError:
        pass


garbled_bodies = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda lengths, count, head_length, rest: (
            start_of(lengths, count=count, head_length=head_length) + rest
        ),
        st.lists(st.one_of(st.integers(0, 20), st.integers(0, 2**64 - 1)), max_size=4),
        st.one_of(st.none(), st.integers(0, 65535)),
        st.one_of(st.integers(0, 20), st.integers(0, 2**32 - 1)),
        st.binary(max_size=60),
    ),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 9), garbled_bodies), max_size=6), points)
def test_garbage_in_well_formed_frames_gives_a_protocol_error_or_true_messages(
    frames: list[tuple[int, bytes]], points: list[int]
) -> None:
    decoder = introduced()
    try:
        for piece in cut(b"".join(frame(*f) for f in frames), points):
            for _, got in decoder.feed(piece):
                if isinstance(got, Message):
                    assert plain(introduced().feed(bytes_of(got))[0][1]) == plain(got)
    except ProtocolError:
        pass


@pytest.mark.parametrize("kind", [protocol.PART, protocol.WHOLE])
def test_an_oversized_frame_is_refused_at_its_header(kind: int) -> None:
    with pytest.raises(ProtocolError, match=str(FRAME)):
        introduced().feed(HEADER.pack(FRAME + 1, kind))


@pytest.mark.parametrize(
    ("kind", "length"), [(protocol.PING, 1), (protocol.ACK, 9), (0, 0), (8, 0), (255, 0)]
)
def test_a_frame_of_an_unknown_kind_or_a_wrong_size_is_refused_at_its_header(
    kind: int, length: int
) -> None:
    with pytest.raises(ProtocolError):
        introduced().feed(HEADER.pack(length, kind))


def test_a_short_ack_is_refused() -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_ack(bytes(7))


@pytest.mark.parametrize("kind", [protocol.PART, protocol.WHOLE])
def test_an_oversized_message_is_refused_at_its_head(kind: int) -> None:
    decoder = introduced(limit_bytes=1000)
    message = Message(protocol.OUTCOME, b"head", [bytes(600), bytes(400)])
    assert decoder.feed(bytes_of(message))
    with pytest.raises(ProtocolError, match="1001"):
        decoder.feed(frame(kind, start_of([600, 401]) + bytes(1001 * (kind == protocol.WHOLE))))


@pytest.mark.parametrize(
    "frames",
    [
        [frame(protocol.WHOLE, b"")],
        [frame(protocol.WHOLE, bytes(6))],
        [frame(protocol.WHOLE, start_of([5]) + bytes(4))],
        [frame(protocol.WHOLE, start_of([5]) + bytes(6))],
        [frame(protocol.WHOLE, start_of([]) + bytes(1))],
        [frame(protocol.WHOLE, start_of([], head_length=1))],
        [frame(protocol.WHOLE, start_of([0], count=2))],
        [frame(protocol.WHOLE, start_of([0] * 8193))],
        [frame(protocol.PART, start_of([5]) + bytes(6))],
        [frame(protocol.PART, start_of([5])), frame(protocol.WHOLE, bytes(4))],
        [frame(protocol.PART, start_of([5])), frame(protocol.WHOLE, bytes(6))],
        [frame(protocol.PART, start_of([5])), frame(protocol.PART, b"")],
        [frame(protocol.PART, start_of([5]) + bytes(5)), frame(protocol.WHOLE, b"")],
        [frame(protocol.PART, start_of([5]) + bytes(5)), frame(protocol.WHOLE, b"x")],
    ],
)
def test_a_message_that_is_not_as_long_as_it_says_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        introduced().feed(b"".join(frames))


def peak_memory_bytes(action: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_taken_as_bytes_arrive_and_not_as_they_are_announced() -> None:
    decoder = introduced()
    start = frame(protocol.PART, start_of([1 << 38, 1 << 38]) + b"begun")
    begun = start + frame(protocol.PART, b"abc", length=FRAME)
    assert peak_memory_bytes(lambda: decoder.feed(begun)) < 100_000


def test_a_large_segment_takes_little_more_memory_than_its_size() -> None:
    size = 40 * FRAME
    data = memoryview(bytes_of(Message(protocol.OUTCOME, b"", [bytes(size)])))
    decoder = introduced()
    arrived: list[tuple[int, Any]] = []

    def feed() -> None:
        for at in range(0, len(data), 70_000):
            arrived.extend(decoder.feed(bytes(data[at : at + 70_000])))

    assert peak_memory_bytes(feed) < 1.3 * size
    assert len(arrived[0][1].segments[0]) == size


# ---- before the handshake


@pytest.mark.parametrize("kind", [protocol.ACK, protocol.PART, protocol.WHOLE])
@pytest.mark.parametrize("first", [b"", encode_frame(protocol.HELLO, b"{}")])
def test_before_the_end_of_the_handshake_messages_are_refused_at_their_header(
    kind: int, first: bytes
) -> None:
    decoder = Decoder()
    decoder.feed(first)
    with pytest.raises(ProtocolError, match="handshake"):
        decoder.feed(HEADER.pack(8, kind))


@pytest.mark.parametrize("kind", HANDSHAKE)
def test_handshake_frames_are_accepted_if_they_are_short(kind: int) -> None:
    body = content(HANDSHAKE_LIMIT)
    assert Decoder().feed(encode_frame(kind, body)) == [(kind, body)]
    with pytest.raises(ProtocolError, match=str(HANDSHAKE_LIMIT)):
        Decoder().feed(HEADER.pack(HANDSHAKE_LIMIT + 1, kind))


def test_a_ping_is_accepted_at_any_time() -> None:
    ping, hello = encode_frame(protocol.PING), encode_frame(protocol.HELLO, b"{}")
    arrived = Decoder().feed(ping + hello + ping)
    assert [kind for kind, _ in arrived] == [protocol.PING, protocol.HELLO, protocol.PING]


@pytest.mark.parametrize("first", HANDSHAKE)
@pytest.mark.parametrize("second", HANDSHAKE)
def test_a_peer_introduces_itself_only_once(first: int, second: int) -> None:
    decoder = Decoder()
    decoder.feed(encode_frame(first, b"{}"))
    with pytest.raises(ProtocolError, match="second time"):
        decoder.feed(encode_frame(second, b"{}"))
    decoder.reset()
    decoder.feed(encode_frame(first, b"{}"))


def test_messages_may_follow_a_welcome_in_the_same_read() -> None:
    message = Message(protocol.TASKS, b"head", [b"task"])
    arrived = Decoder().feed(encode_frame(protocol.WELCOME, b"{}") + bytes_of(message))
    assert [kind for kind, _ in arrived] == [protocol.WELCOME, protocol.WHOLE]


def test_messages_follow_a_hello_when_this_end_has_answered_or_welcomed_first() -> None:
    message, hello = bytes_of(Message(1, b"", [])), encode_frame(protocol.HELLO, b"{}")
    answered = Decoder()
    answered.feed(hello)
    answered.introduce()
    assert answered.feed(message)
    welcomed_first = introduced()
    assert len(welcomed_first.feed(hello + message)) == 2
    for decoder in (answered, welcomed_first):
        with pytest.raises(ProtocolError, match="second time"):
            decoder.feed(hello)


@pytest.mark.parametrize("is_complete", [False, True])
def test_a_stranger_can_make_this_end_hold_little(is_complete: bool) -> None:
    decoder = Decoder()
    body = bytes(HANDSHAKE_LIMIT - (not is_complete))
    data = HEADER.pack(HANDSHAKE_LIMIT, protocol.HELLO) + body

    def feed() -> None:
        for at in range(0, len(data), 1000):
            decoder.feed(data[at : at + 1000])

    assert peak_memory_bytes(feed) < 4 * HANDSHAKE_LIMIT


# ---- what there is no memory for

LOOK = 1 << 26  # how much comes before room is looked for again


def pieces(segments: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the frames of an OUTCOME, and then of a small one."""
    for message in (segments, [b"after"]):
        for parts in encode_message((protocol.OUTCOME, b"head", message)):
            yield b"".join(map(in_stream, parts))


@pytest.mark.parametrize("looks", [0, 1])
def test_a_message_for_which_there_is_no_memory_is_let_go_and_the_next_one_is_read(
    looks: int,
) -> None:
    answers = [True] * looks + [False] * 10
    asked = []

    def has_room(size: int) -> bool:
        asked.append(size)
        return answers.pop(0)

    size = 2 * LOOK
    decoder = introduced(has_room=has_room)
    arrived: list[tuple[int, Any]] = []
    held = []
    frames = list(pieces([bytes(size - 10), b"0123456789"]))
    tracemalloc.start()
    for piece in frames:
        arrived += decoder.feed(piece)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    (_, dropped), (_, after) = arrived
    assert (dropped.kind, dropped.head) == (protocol.OUTCOME, b"head")
    assert isinstance(dropped.segments, DroppedSegments)
    assert dropped.segments.size_bytes == size
    assert list(after.segments) == [b"after"]
    assert size - FRAME <= asked[0] <= size, "the rest of it"
    assert max(held) < looks * 1.5 * LOOK + LOOK / 8
    assert held[-1] < LOOK / 8


def test_a_message_during_which_memory_ends_is_let_go_and_the_next_one_is_read() -> None:
    decoder = introduced(has_room=lambda size: True)  # as if another process took the rest
    size = 1 << 28
    start = start_of([size])
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (1 << 27)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        frames = decoder.feed(frame(protocol.PART, start))
        piece, is_last = bytes(FRAME), False
        for at in range(0, size, FRAME):
            is_last = at + FRAME == size
            frames += decoder.feed(frame(protocol.WHOLE if is_last else protocol.PART, piece))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    ((_, message),) = frames
    assert isinstance(message, Message)
    assert type(message.segments) is DroppedSegments
    assert message.segments.size_bytes == size
    after = Message(protocol.OUTCOME, b"after", [b"payload"])
    ((_, arrived),) = decoder.feed(bytes_of(after))
    assert plain(arrived) == plain(after)


def test_small_messages_do_not_ask_for_room() -> None:
    decoder = introduced(has_room=lambda size: 1 / 0)
    assert len(decoder.feed(b"".join(pieces([bytes(3 * FRAME)])))) == 2
