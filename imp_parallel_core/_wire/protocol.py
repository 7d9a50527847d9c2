"""The protocol, sans-I/O: frames and messages, and how they are written.

``docs/protocol.md`` describes them, and :mod:`.decoder` reads them.

A stream of bytes is cut into *frames*; a frame is at most 256 KiB, so that a heartbeat passes
between the pieces of a large payload. A *message* is a kind, a small head and any number of
segments (opaque payloads); it travels in one frame, or in several PART frames and a last one.
A segment in shared memory may travel beside the bytes, as a descriptor. Nothing here knows what a
segment holds, and nothing here pickles.

This module is imported by every slave at its start: it needs the standard library's lightest only.
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

VERSION = 1
"""Numbered apart from the package: it grows when two ends could misunderstand each other."""

FRAME_LIMIT_BYTES = 256 * 1024
"""The largest body of a frame."""

HANDSHAKE_LIMIT_BYTES = 64 * 1024
"""The largest body of a frame before both ends have introduced themselves."""

MESSAGE_LIMIT_BYTES = 1 << 40
"""The largest message by default. Memory is taken as bytes arrive, never as they are announced."""

SEGMENT_COUNT_LIMIT = 8192

DESCRIPTOR_LIMIT = 128
"""How many segments of a message may travel as descriptors; and how many may wait for theirs."""

BY_DESCRIPTOR = 1 << 63
"""Set in the length of a segment that travels as a descriptor."""

# ---- frame kinds
HELLO, WELCOME, REFUSE, PING, ACK, PART, WHOLE = range(1, 8)

# ---- message kinds: to the slave …
BUNDLE, SETUP, TASKS, TAKE_BACK, END_ATTEMPT, NEXT_RUNNER, CLOSE_CONTEXT, LEAVE = range(1, 9)
KEEP, FORGET = range(9, 11)
ARGUMENTS = 11  # to the runner alone
# … and from it
RUNNER_READY, BEGAN, OUTCOME, TAKEN_BACK, RUNNER_LOST, LEAVING, VALUES = range(32, 39)
PAUSED, RESUMED = range(39, 41)

FRAME_HEADER = Struct("!IB")  # length of the body, kind of frame
PREFIX = Struct("!BHI")  # kind of message, number of segments, length of the head
_LENGTHS = [Struct(f"!{count}Q") for count in range(16)]  # of the segments; more are rare
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
    """Return one frame as bytes. Raises ValueError if its kind may not have such a large body."""
    limit_bytes = BODY_LIMITS_BYTES.get(kind, FRAME_LIMIT_BYTES)
    if len(body) > limit_bytes:
        raise ValueError(
            f"a frame of kind {kind} with {len(body)} bytes: at most {limit_bytes} are allowed"
        )
    return FRAME_HEADER.pack(len(body), kind) + body


def encode_ack(received: int) -> bytes:
    """Return the frame that says how many messages have been received in this session."""
    return encode_frame(ACK, ACK_BODY.pack(received))


def decode_ack(body: bytes) -> int:
    """Return the number in an ACK's body. Raises ProtocolError."""
    if len(body) != ACK_BODY.size:
        raise ProtocolError(f"an ACK of {len(body)} bytes")
    return int(ACK_BODY.unpack(body)[0])


def lengths_layout(count: int) -> Struct:
    """Return how the lengths of so many segments are written."""
    return _LENGTHS[count] if count < len(_LENGTHS) else Struct(f"!{count}Q")


def encode_message(
    message: tuple[int, bytes, Sequence[Segment]], *, by_descriptor: bool = False
) -> list[Frame]:
    """Return a message as frames, each a tuple of buffers to be written in turn.

    A small message is one frame of one buffer. The segments of a large one are not copied: they
    must not be changed as long as the frames are in use. If any may travel as descriptors, the
    large ones are in shared memory then, and the first in the first frame's tuple.
    Raises ValueError if its head and the lengths of its segments don't fit in one frame.
    """
    kind, head, segments = message
    count = len(segments)
    if count > SEGMENT_COUNT_LIMIT:
        raise ValueError(f"{count} segments: at most {SEGMENT_COUNT_LIMIT} are allowed")
    if type(segments) is PackedSegments:  # passed on as they came
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


def _length(segment: Segment) -> int:
    return len(segment) if isinstance(segment, SharedBytes) else memoryview(segment).nbytes


def _cut_into_parts(start: bytes, segments: Iterable[Buffer]) -> list[Frame]:
    """Cut a large message into frames that are full, but for the last."""
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
    return (b"".join((header, *pieces)),)  # a short copy costs less than many buffers to a write
