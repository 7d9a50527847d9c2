"""The protocol, sans-I/O: frames and messages. ``docs/protocol.md`` is its description.

A stream of bytes is cut into *frames*; a frame is at most 256 KiB, so that a heartbeat passes
between the pieces of a large payload. A *message* is a kind, a small head and any number of
segments (opaque payloads); it travels in one frame, or in several PART frames and a last one.
A segment in shared memory may travel beside the bytes, as a descriptor. Nothing here knows what a
segment holds, and nothing here pickles.

This module is imported by every slave at its start: it needs the standard library's lightest only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from struct import Struct

from ._errors import ProtocolError
from ._light_typing import TYPE_CHECKING, NamedTuple
from ._segments import PackedSegments
from ._shared_memory import SharedBytes, SharedWriter, new_writer, open_segment, share

if TYPE_CHECKING:
    Buffer = bytes | bytearray | memoryview
    Segment = Buffer | SharedBytes
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

_BY_DESCRIPTOR = 1 << 63
"""Set in the length of a segment that travels as a descriptor."""

# ---- frame kinds
HELLO, WELCOME, REFUSE, PING, ACK, PART, WHOLE = range(1, 8)

# ---- message kinds: to the slave …
BUNDLE, SETUP, TASKS, TAKE_BACK, END_ATTEMPT, NEXT_RUNNER, CLOSE_CONTEXT, LEAVE = range(1, 9)
# … and from it
RUNNER_READY, BEGAN, OUTCOME, TAKEN_BACK, RUNNER_LOST, LEAVING, VALUES = range(32, 39)

FRAME_HEADER = Struct("!IB")  # length of the body, kind of frame
_PREFIX = Struct("!BHI")  # kind of message, number of segments, length of the head
_LENGTHS = [Struct(f"!{count}Q") for count in range(16)]  # of the segments; more are rare
_MANY = 8  # so many segments are cut only when they are read
_ACK_BODY = Struct("!Q")  # how many messages have been received in this session

_HANDSHAKE = (HELLO, WELCOME, REFUSE)

# What a stream may bring, as the largest body of each kind of frame: before the handshake …
_UNINTRODUCED = {PING: 0, **dict.fromkeys(_HANDSHAKE, HANDSHAKE_LIMIT_BYTES)}
# … when the peer has introduced itself, but has not been answered …
_UNANSWERED = {PING: 0}
# … after the handshake …
_INTRODUCED = {
    PING: 0,
    ACK: _ACK_BODY.size,
    **dict.fromkeys((PART, WHOLE), FRAME_LIMIT_BYTES),
}
# … and when this end has said all that it has to, and the peer may still introduce itself.
_ANSWERED_BEFORE = {**_UNINTRODUCED, **_INTRODUCED}


class Message(NamedTuple):
    """One message: its kind, its head (see :mod:`._messages`) and its segments."""

    kind: int
    head: bytes
    segments: Sequence[Segment] = ()


def encode_frame(kind: int, body: bytes = b"") -> bytes:
    """Return one frame as bytes. Raises ValueError if its kind may not have such a large body."""
    limit_bytes = _ANSWERED_BEFORE.get(kind, FRAME_LIMIT_BYTES)
    if len(body) > limit_bytes:
        raise ValueError(
            f"a frame of kind {kind} with {len(body)} bytes: at most {limit_bytes} are allowed"
        )
    return FRAME_HEADER.pack(len(body), kind) + body


def encode_ack(received: int) -> bytes:
    """Return the frame that says how many messages have been received in this session."""
    return encode_frame(ACK, _ACK_BODY.pack(received))


def decode_ack(body: bytes) -> int:
    """Return the number in an ACK's body. Raises ProtocolError."""
    if len(body) != _ACK_BODY.size:
        raise ProtocolError(f"an ACK of {len(body)} bytes")
    return int(_ACK_BODY.unpack(body)[0])


def _lengths_layout(count: int) -> Struct:
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
    start_length = _PREFIX.size + 8 * count + len(head)
    if start_length > FRAME_LIMIT_BYTES:
        raise ValueError(f"a head of {len(head)} bytes with {count} segments is too large")
    prefix = _PREFIX.pack(kind, count, len(head))
    total = start_length + sum(lengths)
    if total <= FRAME_LIMIT_BYTES:
        header = FRAME_HEADER.pack(total, WHOLE)
        packed_lengths = _lengths_layout(count).pack(*lengths)
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
            lengths[index] |= _BY_DESCRIPTOR
    start = prefix + _lengths_layout(count).pack(*lengths) + head
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


class Decoder:
    """Turn bytes, however they were cut, into frames; and PART frames into messages.

    Args:
        limit_bytes: the largest message that is accepted.
        adopt: called with each segment that came as a descriptor; what it returns is passed on.
            By default that is the segment as it is. May raise ProtocolError.
        shares: gather large segments in shared memory, for who passes them on.

    At first only PINGs and one short handshake frame are accepted, so that a stranger can make
    this end hold no more than 64 KiB. Messages are accepted after a WELCOME has arrived, or when
    :meth:`introduce` is called: by the end that welcomes.
    """

    def __init__(
        self,
        limit_bytes: int = MESSAGE_LIMIT_BYTES,
        *,
        adopt: Callable[[SharedBytes], Segment] | None = None,
        shares: bool = False,
    ) -> None:
        self._limit_bytes = limit_bytes
        self._adopt = adopt
        self._shares = shares
        self.reset()

    def reset(self) -> None:
        """Forget what was half received: its stream has gone, and it will be sent again."""
        self.error: ProtocolError | None = None
        self._limits = _UNINTRODUCED
        self._is_greeted = False  # the peer's one handshake frame has come
        self._buffer = bytearray()  # a frame of which the rest has not come
        self._wanted = 0  # the size of the buffer that allows to go on
        self._partial: _PartialMessage | None = None
        self._descriptors: deque[SharedBytes] = deque()  # came, and no message claimed them yet
        self._piece_missing = 0  # what has not come of a frame that continues a message
        self._piece_is_last = False

    def claim_descriptor(self) -> SharedBytes | None:
        """Return the next descriptor that has come and that no message has claimed."""
        return self._descriptors.popleft() if self._descriptors else None

    def introduce(self) -> None:
        """This end has introduced itself and needs no more of the peer: accept messages."""
        self._limits = _INTRODUCED if self._is_greeted else _ANSWERED_BEFORE

    @property
    def is_introduced(self) -> bool:
        """Whether messages are accepted."""
        return WHOLE in self._limits

    def feed(
        self, data: Buffer, descriptors: Sequence[SharedBytes] = ()
    ) -> list[tuple[int, bytes | Message]]:
        """Take the bytes that arrived, and descriptors with them; return the completed frames.

        A frame is its kind with its body, but WHOLE comes with the Message that it ends; PART
        frames are kept back until then. A segment that is larger than a frame is a bytearray of
        its own, any other is bytes; ``data`` itself is not kept.

        Raises ProtocolError at the first byte that can't be right; the decoder is of no use
        after that until it is reset. If frames were completed before that byte, they are returned
        first: what a peer said before it went wrong counts. :attr:`error` is set then, and raised
        by the next call.
        """
        if self.error is not None:
            raise self.error
        if not isinstance(data, bytes):
            data = bytes(data)
        frames: list[tuple[int, bytes | Message]] = []
        if descriptors:
            self._descriptors.extend(descriptors)
        try:
            self._feed(data, frames)
            if len(self._descriptors) > DESCRIPTOR_LIMIT:
                raise ProtocolError("more descriptors than messages claim")
        except ProtocolError as problem:
            self.error = problem
            if not frames:
                raise
        return frames

    def _feed(self, data: bytes, frames: list[tuple[int, bytes | Message]]) -> None:
        at = 0
        while self._buffer:  # complete a frame that began earlier: its header, then its body
            missing = self._wanted - len(self._buffer)
            self._buffer += data[at : at + missing]
            at += missing
            if len(self._buffer) < self._wanted:
                return
            begun = bytes(self._buffer)
            self._buffer.clear()
            self._take(begun, 0, frames)
        self._take(data, at, frames)

    def _take(self, data: bytes, at: int, frames: list[tuple[int, bytes | Message]]) -> None:
        """Take frames out of data, and put aside the beginning of one that is not complete."""
        if self._piece_missing:
            at = self._take_piece(data, at, frames)
        end, header_size = len(data), FRAME_HEADER.size
        while at < end:
            body_at = at + header_size
            if body_at > end:
                self._put_aside(data, at, header_size)
                return
            length, kind = FRAME_HEADER.unpack_from(data, at)
            if length > self._limits.get(kind, -1):
                raise self._refusal(length, kind)
            if self._partial is not None and kind in (WHOLE, PART):
                if not length:
                    raise ProtocolError("an empty piece of a message")
                self._piece_missing, self._piece_is_last = length, kind == WHOLE
                at = self._take_piece(data, body_at, frames)
                continue
            frame_at, at = at, body_at + length
            if at > end:
                self._put_aside(data, frame_at, header_size + length)
                return
            if kind == WHOLE:
                frames.append((WHOLE, self._read_message(data, body_at, at)))
            elif kind == PART:
                self._partial = self._begin_message(data[body_at:at])
            else:
                frames.append((kind, data[body_at:at]))
                if kind in _HANDSHAKE:
                    self._greeted(kind)

    def _greeted(self, kind: int) -> None:
        """The peer has introduced itself; messages may follow a WELCOME in the same read."""
        self._is_greeted = True
        if kind == WELCOME or self.is_introduced:
            self._limits = _INTRODUCED
        else:
            self._limits = _UNANSWERED

    def _put_aside(self, data: bytes, at: int, wanted: int) -> None:
        self._buffer += data[at:]
        self._wanted = wanted

    def _take_piece(self, data: bytes, at: int, frames: list[tuple[int, bytes | Message]]) -> int:
        """Pass on the body of a frame that continues a message, as it comes; return its end."""
        partial = self._partial
        piece = memoryview(data)[at : at + self._piece_missing]
        if partial is None or not piece:
            return at
        partial.add(piece)
        self._piece_missing -= len(piece)
        if self._piece_is_last and not self._piece_missing:
            frames.append((WHOLE, partial.finish()))
            self._partial = None
        return at + len(piece)

    def _read_message(self, data: bytes, at: int, end: int) -> Message:
        """Return the message that one frame holds: the usual case, and the one to be fast."""
        kind, head, lengths, segments_at = _read_start(data, at, end)
        if end - segments_at > self._limit_bytes:
            raise ProtocolError(
                f"a message of {end - segments_at} bytes; at most {self._limit_bytes} are allowed"
            )
        if len(lengths) >= _MANY and sum(lengths) == end - segments_at:
            return Message(kind, head, PackedSegments(lengths, data[segments_at:end]))
        segments = []
        segment_at = segments_at
        for length in lengths:
            segments.append(data[segment_at : segment_at + length])
            segment_at += length
        if segment_at == end:
            return Message(kind, head, segments)
        return self._begin_message(data[at:end]).finish()  # some come as descriptors

    def _begin_message(self, first: bytes) -> _PartialMessage:
        """Read a message's first frame, and let it claim the segments that are to be there."""
        message = _PartialMessage(first, self._limit_bytes, shares=self._shares)
        for index in message.by_descriptor:
            if not self._descriptors:
                raise ProtocolError("a segment of which no descriptor came")
            segment = self._descriptors.popleft()
            segment.size = message.size_of(index)
            message.put(index, segment if self._adopt is None else self._adopt(segment))
        message.add_rest_of(first)
        return message

    def _refusal(self, length: int, kind: int) -> ProtocolError:
        if kind not in _ANSWERED_BEFORE:
            return ProtocolError(f"a frame of the unknown kind {kind}")
        if kind not in self._limits:
            when = "a second time" if kind in _HANDSHAKE else "before the end of the handshake"
            return ProtocolError(f"a frame of kind {kind} {when}")
        return ProtocolError(
            f"a frame of kind {kind} with {length} bytes; at most {self._limits[kind]} are allowed"
        )


def _read_start(data: bytes, at: int, end: int) -> tuple[int, bytes, tuple[int, ...], int]:
    """Return a message's kind, its head, its segments' lengths and where they begin in data."""
    if end - at < _PREFIX.size:
        raise ProtocolError(f"a message that begins with only {end - at} bytes")
    kind, count, head_length = _PREFIX.unpack_from(data, at)
    lengths_at = at + _PREFIX.size
    head_at = lengths_at + 8 * count
    segments_at = head_at + head_length
    if count > SEGMENT_COUNT_LIMIT:
        raise ProtocolError(f"a message of {count} segments")
    if segments_at > end:
        raise ProtocolError(
            f"a message whose head ends at byte {segments_at - at} is not in its first frame"
        )
    lengths = _lengths_layout(count).unpack_from(data, lengths_at)
    return kind, data[head_at:segments_at], lengths, segments_at


class _PartialMessage:
    """A message of which the first frame has arrived. It grows as its bytes come."""

    def __init__(self, first: bytes, limit_bytes: int, *, shares: bool) -> None:
        self._kind, self._head, lengths, self._begin = _read_start(first, 0, len(first))
        self._lengths = [length & ~_BY_DESCRIPTOR for length in lengths]
        self.by_descriptor = [i for i, length in enumerate(lengths) if length & _BY_DESCRIPTOR]
        """The segments, by index, that don't come in the stream; see :meth:`put`."""
        if len(self.by_descriptor) > DESCRIPTOR_LIMIT:
            raise ProtocolError(f"a message with {len(self.by_descriptor)} descriptors")
        size = sum(self._lengths)
        if size > limit_bytes:
            raise ProtocolError(f"a message of {size} bytes; at most {limit_bytes} are allowed")
        self._segments: list[Segment] = [b""] * len(lengths)
        elsewhere = set(self.by_descriptor)
        self._missing = deque(i for i in range(len(lengths)) if i not in elsewhere)
        self._open: bytearray | SharedWriter | None = None
        self._shares = shares

    def size_of(self, index: int) -> int:
        """Return how long a segment is to be."""
        return self._lengths[index]

    def put(self, index: int, segment: Segment) -> None:
        """Take a segment that did not come in the stream."""
        self._segments[index] = segment

    def add_rest_of(self, first: bytes) -> None:
        """Take what the first frame brought of the segments."""
        self.add(memoryview(first)[self._begin :])

    def add(self, data: memoryview) -> None:
        """Share out data over the segments, in order."""
        while data:
            if not self._missing:
                raise ProtocolError("a message longer than it said")
            index = self._missing[0]
            length = self._lengths[index]
            if self._open is None:
                writer = new_writer(length) if self._shares else None
                self._open = bytearray() if writer is None else writer
            piece = data[: length - len(self._open)]
            self._open.extend(piece)
            data = data[len(piece) :]
            if len(self._open) == length:
                self._segments[index] = _finished(self._open)
                self._open = None
                self._missing.popleft()

    def finish(self) -> Message:
        """Return the message. Raises ProtocolError if there should have been more of it."""
        if any(self._lengths[index] for index in self._missing):
            raise ProtocolError("a message longer or shorter than it said")
        return Message(self._kind, self._head, self._segments)


def _finished(segment: bytearray | SharedWriter) -> Segment:
    if isinstance(segment, SharedWriter):
        return segment.finish()
    # how the bytes were cut must not decide what a reader is given
    return segment if len(segment) > FRAME_LIMIT_BYTES else bytes(segment)
