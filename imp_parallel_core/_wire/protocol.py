"""The protocol, sans-I/O: the layouts of frames and messages, and how messages are written.

``docs/protocol.md`` describes the protocol, and :mod:`.decoder` reads streams.

A stream of bytes is cut into *frames* of at most 256 KiB, so that a heartbeat passes between the
pieces of a large payload. A *message* is a kind, a small head and any number of segments (opaque
payloads). It travels in one WHOLE frame, or in several PART frames and a WHOLE one. A segment in
shared memory may travel beside the bytes, as a descriptor. This module does not know what a segment
holds, and never pickles.

Every slave imports this module at its start, so it imports light modules only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING, NamedTuple
from .segments import PackedSegments
from .shared_memory import SharedBytes, open_segment, share

if TYPE_CHECKING:
    from .shared_memory import Segment
    from .types import Buffer

    Frame = tuple[Segment, ...]

VERSION = 4
"""The protocol's own version. It grows when two ends could misunderstand each other."""

FRAME_LIMIT_BYTES = 256 * 1024
"""The largest body of a frame."""

HANDSHAKE_LIMIT_BYTES = 64 * 1024
"""The largest body of a frame before both ends have introduced themselves."""

MESSAGE_LIMIT_BYTES = 1 << 40
"""The largest message by default. Memory is taken as bytes arrive, never as they are announced."""

SEGMENT_COUNT_LIMIT = 8192

DESCRIPTOR_LIMIT = 128
"""How many segments of a message may travel as descriptors, and how many descriptors may wait for
their message."""

BY_DESCRIPTOR = 1 << 63
"""Set in the length of a segment that travels as a descriptor."""

# ---- frame kinds
HELLO, WELCOME, REFUSE, PING, ACK, PART, WHOLE = range(1, 8)

# ---- message kinds: to the slave …
BUNDLE, SETUP, TASKS, TAKE_BACK, END_ATTEMPT, NEXT_RUNNER, CLOSE_CONTEXT, LEAVE = range(1, 9)
KEEP, FORGET = range(9, 11)
ARGUMENTS = 11  # to the runner alone
RENEW_RUNNER = 12
# … and from it
RUNNER_READY, BEGAN, OUTCOME, TAKEN_BACK, RUNNER_LOST, LEAVING, VALUES = range(32, 39)
PAUSED, RESUMED = range(39, 41)

FRAME_HEADER = Struct("!IB")  # length of the body, kind of frame
PREFIX = Struct("!BHI")  # kind of message, number of segments, length of the head
_LENGTHS = [Struct(f"!{count}Q") for count in range(16)]  # of segments; more than 15 are rare
ACK_BODY = Struct("!Q")  # how many messages have been received in this session

HANDSHAKE = (HELLO, WELCOME, REFUSE)

BODY_LIMITS_BYTES = {
    PING: 0,
    ACK: ACK_BODY.size,
    **dict.fromkeys(HANDSHAKE, HANDSHAKE_LIMIT_BYTES),
    **dict.fromkeys((PART, WHOLE), FRAME_LIMIT_BYTES),
}
"""The largest body of each kind of frame."""


class Message(NamedTuple):
    """One message: its kind, its head (see :mod:`.heads`) and its segments."""

    kind: int
    head: bytes
    segments: Sequence[Segment] = ()


def encode_frame(kind: int, body: bytes = b"") -> bytes:
    """Return one frame as bytes. Raises ValueError if the body is too large for its kind."""
    limit_bytes = BODY_LIMITS_BYTES.get(kind, FRAME_LIMIT_BYTES)
    if len(body) > limit_bytes:
        raise ValueError(
            f"a frame of kind {kind} with {len(body)} bytes: at most {limit_bytes} are allowed"
        )
    return FRAME_HEADER.pack(len(body), kind) + body


def encode_ack(received: int) -> bytes:
    """Return an ACK frame, with the number of messages received in this session."""
    return encode_frame(ACK, ACK_BODY.pack(received))


def decode_ack(body: bytes) -> int:
    """Return the number in an ACK's body. Raises ProtocolError."""
    if len(body) != ACK_BODY.size:
        raise ProtocolError(f"an ACK of {len(body)} bytes")
    return int(ACK_BODY.unpack(body)[0])


def lengths_layout(count: int) -> Struct:
    """Return the layout of the lengths of ``count`` segments."""
    return _LENGTHS[count] if count < len(_LENGTHS) else Struct(f"!{count}Q")


def encode_message(
    message: tuple[int, bytes, Sequence[Segment]], *, by_descriptor: bool = False
) -> list[Frame]:
    """Return a message as frames, each a tuple of buffers to write in turn.

    A small message is one frame of one buffer. The segments of a large one are not copied: do not
    change them as long as the frames are in use. With ``by_descriptor``, large segments are put in
    shared memory, and stand first in the tuple of the first frame.

    Raises ValueError if the head and the lengths of the segments don't fit in one frame.
    """
    kind, head, segments = message
    count = len(segments)
    if count > SEGMENT_COUNT_LIMIT:
        raise ValueError(f"{count} segments: at most {SEGMENT_COUNT_LIMIT} are allowed")
    if type(segments) is PackedSegments:  # they are passed on as they came
        lengths = list(segments.lengths)
        segments = (segments.body,)
    else:
        lengths = [len(s) if type(s) is bytes else _length(s) for s in segments]
    start_length = PREFIX.size + 8 * count + len(head)
    if start_length > FRAME_LIMIT_BYTES:
        raise ValueError(f"a head of {len(head)} bytes with {count} segments is too large")
    prefix = PREFIX.pack(kind, count, len(head))
    total = start_length + sum(lengths)
    if total <= FRAME_LIMIT_BYTES:
        header = FRAME_HEADER.pack(total, WHOLE)
        packed_lengths = lengths_layout(count).pack(*lengths)
        return [(b"".join((header, prefix, packed_lengths, head, *segments)),)]  # type: ignore[arg-type]  # too small to be shared
    passed: list[SharedBytes] = []
    in_stream: list[Buffer] = []
    for index, segment in enumerate(segments):
        may_pass = by_descriptor and len(passed) < DESCRIPTOR_LIMIT
        shared = share(segment) if may_pass else None
        if shared is None:
            in_stream.append(open_segment(segment))
        else:
            passed.append(shared)
            lengths[index] |= BY_DESCRIPTOR
    start = prefix + lengths_layout(count).pack(*lengths) + head
    frames = _cut_into_parts(start, in_stream)
    frames[0] = (*passed, *frames[0])
    return frames


def read_message_start(data: bytes, at: int, end: int) -> tuple[int, bytes, tuple[int, ...], int]:
    """Return a message's kind, head and lengths of segments, and where these begin in data.

    Raises ProtocolError if data[at:end], the body of its first frame, can't be the start of one.
    """
    if end - at < PREFIX.size:
        raise ProtocolError(f"a message that begins with only {end - at} bytes")
    kind, count, head_length = PREFIX.unpack_from(data, at)
    lengths_at = at + PREFIX.size
    head_at = lengths_at + 8 * count
    segments_at = head_at + head_length
    if count > SEGMENT_COUNT_LIMIT:
        raise ProtocolError(f"a message of {count} segments")
    if segments_at > end:
        raise ProtocolError(
            f"a message whose head ends at byte {segments_at - at} is not in its first frame"
        )
    lengths = lengths_layout(count).unpack_from(data, lengths_at)
    return kind, data[head_at:segments_at], lengths, segments_at


def _length(segment: Segment) -> int:
    return len(segment) if isinstance(segment, SharedBytes) else memoryview(segment).nbytes


def _cut_into_parts(start: bytes, segments: Iterable[Buffer]) -> list[Frame]:
    """Cut a large message into frames, of which all but the last are full."""
    bodies: list[list[Buffer]] = [[start]]
    room = FRAME_LIMIT_BYTES - len(start)
    for segment in segments:
        view = memoryview(segment).cast("B")
        at = 0
        while at < len(view):
            if not room:
                bodies.append([])
                room = FRAME_LIMIT_BYTES
            piece = view[at : at + room]
            bodies[-1].append(piece)
            at += len(piece)
            room -= len(piece)
    last = len(bodies) - 1
    return [_frame_of(WHOLE if i == last else PART, body) for i, body in enumerate(bodies)]


def _frame_of(kind: int, pieces: list[Buffer]) -> Frame:
    header = FRAME_HEADER.pack(sum(map(len, pieces)), kind)
    if len(pieces) <= 2:
        return (header, *pieces)
    return (b"".join((header, *pieces)),)  # one copy costs less than many buffers in a write
