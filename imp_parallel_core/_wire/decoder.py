"""Decoding: bytes, however they were cut, become frames and messages again. Sans-I/O."""

from __future__ import annotations

from collections import deque

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING
from .protocol import (
    ACK,
    BODY_LIMITS_BYTES,
    BY_DESCRIPTOR,
    DESCRIPTOR_LIMIT,
    FRAME_HEADER,
    FRAME_LIMIT_BYTES,
    HANDSHAKE,
    MESSAGE_LIMIT_BYTES,
    PART,
    PING,
    PREFIX,
    SEGMENT_COUNT_LIMIT,
    WELCOME,
    WHOLE,
    Message,
    lengths_layout,
)
from .segments import DroppedSegments, PackedSegments
from .shared_memory import SharedWriter, new_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .shared_memory import Segment, SharedBytes
    from .types import Buffer

_LOOK_BYTES = 1 << 26  # room is looked for each time that so many bytes have come
_MANY = 8  # so many segments are cut only when they are read


def _limits(*kinds: int) -> dict[int, int]:
    return {kind: BODY_LIMITS_BYTES[kind] for kind in kinds}


# What a stream may bring: before the handshake …
_UNINTRODUCED = _limits(PING, *HANDSHAKE)
# … when the peer has introduced itself, but has not been answered …
_UNANSWERED = _limits(PING)
# … after the handshake …
_INTRODUCED = _limits(PING, ACK, PART, WHOLE)
# … and when this end has said all that it has to, and the peer may still introduce itself.
_ANSWERED_BEFORE = BODY_LIMITS_BYTES


class Decoder:
    """Turn bytes, however they were cut, into frames; and PART frames into messages.

    Args:
        limit_bytes: the largest message that is accepted.
        adopt: called with each segment that came as a descriptor; what it returns is passed on.
            By default that is the segment as it is. May raise ProtocolError.
        shares: gather large segments in shared memory, for who passes them on.
        has_room: says of a number of bytes whether there is memory for so many more. A message
            for which there is none is read to its end all the same, and has DroppedSegments. By
            default that raises MemoryError, when the memory is exhausted.

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
        has_room: Callable[[int], bool] | None = None,
    ) -> None:
        self._has_room = has_room
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

    @property
    def unfinished_bytes(self) -> int:
        """How much has come of a message of which the rest has not."""
        gathered = 0 if self._partial is None else self._partial.come_bytes
        return gathered + len(self._buffer)

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
                if kind in HANDSHAKE:
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
        message = _PartialMessage(
            first, self._limit_bytes, shares=self._shares, has_room=self._has_room
        )
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
            when = "a second time" if kind in HANDSHAKE else "before the end of the handshake"
            return ProtocolError(f"a frame of kind {kind} {when}")
        return ProtocolError(
            f"a frame of kind {kind} with {length} bytes; at most {self._limits[kind]} are allowed"
        )


def _read_start(data: bytes, at: int, end: int) -> tuple[int, bytes, tuple[int, ...], int]:
    """Return a message's kind, its head, its segments' lengths and where they begin in data."""
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


class _PartialMessage:
    """A message of which the first frame has arrived. It grows as its bytes come."""

    def __init__(
        self,
        first: bytes,
        limit_bytes: int,
        *,
        shares: bool,
        has_room: Callable[[int], bool] | None,
    ) -> None:
        self._kind, self._head, lengths, self._begin = _read_start(first, 0, len(first))
        self._lengths = [length & ~BY_DESCRIPTOR for length in lengths]
        self.by_descriptor = [i for i, length in enumerate(lengths) if length & BY_DESCRIPTOR]
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
        self._has_room = has_room
        self._size = sum(self._lengths[index] for index in self._missing)  # by the stream
        self.come_bytes = self._looked_at = 0  # of it; and when room was looked for
        self._is_dropped = self._size > _LOOK_BYTES and not self._may_go_on()

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
        """Share out data over the segments, in order; or let it go, if there is no memory."""
        self.come_bytes += len(data)
        if self.come_bytes > self._size:
            raise ProtocolError("a message longer than it said")
        if self._is_dropped:
            return
        try:
            self._share_out(data)
        except MemoryError:
            if self._has_room is None:
                raise
            self._drop()
        if self.come_bytes - self._looked_at > _LOOK_BYTES:
            self._looked_at = self.come_bytes
            if not self._may_go_on():
                self._drop()

    def _may_go_on(self) -> bool:
        return self._has_room is None or self._has_room(self._size - self.come_bytes)

    def _drop(self) -> None:
        self._is_dropped = True
        self._segments, self._open = [], None

    def _share_out(self, data: memoryview) -> None:
        while data:
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
        if self.come_bytes != self._size:
            raise ProtocolError("a message longer or shorter than it said")
        if self._is_dropped:
            dropped = DroppedSegments()
            dropped.size_bytes = self._size
            return Message(self._kind, self._head, dropped)
        return Message(self._kind, self._head, self._segments)


def _finished(segment: bytearray | SharedWriter) -> Segment:
    if isinstance(segment, SharedWriter):
        return segment.finish()
    # how the bytes were cut must not decide what a reader is given
    return segment if len(segment) > FRAME_LIMIT_BYTES else bytes(segment)
