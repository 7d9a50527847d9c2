"""Decode bytes, however they were cut, into frames and messages. Sans-I/O.

Which frames a stream may bring depends on how far the handshake has come:

    ===========  ============================================  ===================================
    state        frames that are accepted                      next state
    ===========  ============================================  ===================================
    new          PING, one handshake frame                     unanswered, by a HELLO or REFUSE;
                                                               open, by a WELCOME;
                                                               welcoming, by ``introduce()``
    unanswered   PING                                          open, by ``introduce()``
    welcoming    all kinds                                     open, by a handshake frame
    open         PING, ACK, PART, WHOLE
    ===========  ============================================  ===================================
"""

from __future__ import annotations

from collections import deque

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING
from .protocol import (
    ACK,
    BODY_LIMITS_BYTES,
    DESCRIPTOR_LIMIT,
    FRAME_HEADER,
    HANDSHAKE,
    MESSAGE_LIMIT_BYTES,
    PART,
    PING,
    WELCOME,
    WHOLE,
    Message,
    read_message_start,
)
from .segments import PackedSegments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .partial_message import PartialMessage
    from .shared_memory import Segment, SharedBytes
    from .types import Buffer

_MANY = 8  # from so many segments on, they are cut only when somebody reads them


def _limits(*kinds: int) -> dict[int, int]:
    return {kind: BODY_LIMITS_BYTES[kind] for kind in kinds}


# The states in the table above: the largest body of each kind that is accepted.
_NEW = _limits(PING, *HANDSHAKE)
_UNANSWERED = _limits(PING)
_WELCOMING = BODY_LIMITS_BYTES
_OPEN = _limits(PING, ACK, PART, WHOLE)


class Decoder:
    """Turns bytes into frames, and PART frames into messages.

    Args:
        limit_bytes: the largest message that is accepted.
        adopt: called with each segment that came as a descriptor; its result takes the segment's
            place in the message. May raise ProtocolError. By default the segment stays as it is.
        shares: gather large segments in shared memory. For an end that passes them on.
        has_room: called with a number of bytes; returns whether memory is left for them. A message
            without room is read to its end, and has DroppedSegments. By default such a message
            raises MemoryError when the memory is exhausted.

    A new decoder accepts PINGs and one short handshake frame, so that a stranger can make this end
    hold no more than 64 KiB. It accepts messages after a WELCOME has arrived, or after
    :meth:`introduce`, which the welcoming end calls.
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
        """Forget what was half received, and be as new: the stream has gone."""
        self.error: ProtocolError | None = None
        self._limits = _NEW
        self._is_greeted = False  # the peer's one handshake frame has arrived
        self._buffer = bytearray()  # the beginning of a frame
        self._wanted = 0  # when the buffer has this size, decoding can go on
        self._partial: PartialMessage | None = None
        self._descriptors: deque[SharedBytes] = deque()  # not yet claimed by a message
        self._piece_missing = 0  # bytes that a frame in the middle of a message still lacks
        self._piece_is_last = False

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes of an incomplete message have arrived."""
        gathered = 0 if self._partial is None else self._partial.arrived_bytes
        return gathered + len(self._buffer)

    def claim_descriptor(self) -> SharedBytes | None:
        """Return the next descriptor that no message has claimed; None if there is none."""
        return self._descriptors.popleft() if self._descriptors else None

    def introduce(self) -> None:
        """Accept messages from now on: this end has sent its WELCOME."""
        self._limits = _OPEN if self._is_greeted else _WELCOMING

    @property
    def is_introduced(self) -> bool:
        """Whether messages are accepted."""
        return WHOLE in self._limits

    def feed(
        self, data: Buffer, descriptors: Sequence[SharedBytes] = ()
    ) -> list[tuple[int, bytes | Message]]:
        """Take the bytes that arrived, and their descriptors; return the completed frames.

        Each frame is a pair of its kind and its body. A WHOLE has the Message that it ends in the
        place of a body, and PART frames are not returned. A segment larger than a frame is a
        bytearray of its own, any other is bytes; ``data`` itself is not kept.

        Raises ProtocolError at the first byte that can't be right; the decoder can't be used after
        that until it is reset. If frames were completed before that byte, this call returns them,
        sets :attr:`error`, and the next call raises it: what a peer said before its error counts.
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
        while self._buffer:  # complete the frame that has begun: first its header, then its body
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
        """Take the frames out of data, and put the beginning of an incomplete one aside."""
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
        """Change the state after a handshake frame: messages may follow it in the same read."""
        self._is_greeted = True
        if kind == WELCOME or self.is_introduced:
            self._limits = _OPEN
        else:
            self._limits = _UNANSWERED

    def _put_aside(self, data: bytes, at: int, wanted: int) -> None:
        self._buffer += data[at:]
        self._wanted = wanted

    def _take_piece(self, data: bytes, at: int, frames: list[tuple[int, bytes | Message]]) -> int:
        """Add the bytes of a frame to the message in progress, as they come; return their end."""
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
        """Return the message that a single frame holds. This is the usual case, and is fast."""
        kind, head, lengths, segments_at = read_message_start(data, at, end)
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
        return self._begin_message(data[at:end]).finish()  # some segments came as descriptors

    def _begin_message(self, first: bytes) -> PartialMessage:
        """Read the first frame of a message, and claim the descriptors that belong to it."""
        from .partial_message import PartialMessage  # many processes never meet a large message

        message = PartialMessage(
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
        if kind not in BODY_LIMITS_BYTES:
            return ProtocolError(f"a frame of the unknown kind {kind}")
        if kind not in self._limits:
            when = "a second time" if kind in HANDSHAKE else "before the end of the handshake"
            return ProtocolError(f"a frame of kind {kind} {when}")
        return ProtocolError(
            f"a frame of kind {kind} with {length} bytes; at most {self._limits[kind]} are allowed"
        )
