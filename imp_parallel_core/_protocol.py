"""The protocol, sans-I/O: frames and messages. ``docs/protocol.md`` is its description.

A stream of bytes is cut into *frames*; a frame is at most 256 KiB, so that a heartbeat passes
between the pieces of a large payload. A *message* is a kind, a small head and any number of
segments (opaque payloads); it travels in one frame, or in several PART frames and a last one.
Nothing here knows what a segment holds, and nothing here pickles.

This module is imported by every slave at its start: it needs the standard library's lightest only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, Union

from ._errors import ProtocolError

if TYPE_CHECKING:
    Buffer = Union[bytes, bytearray, memoryview]

VERSION = 1
"""Numbered apart from the package: it grows when two ends could misunderstand each other."""

FRAME_LIMIT_BYTES = 256 * 1024
"""The largest body of a frame."""

HANDSHAKE_LIMIT_BYTES = 64 * 1024
"""The largest body of a frame before both ends have introduced themselves."""

MESSAGE_LIMIT_BYTES = 1 << 40
"""The largest message by default. Memory is taken as bytes arrive, never as they are announced."""

SEGMENT_COUNT_LIMIT = 8192

# ---- frame kinds
HELLO, WELCOME, REFUSE, PING, ACK, PART, WHOLE = range(1, 8)
_FRAME_KINDS = frozenset(range(1, 8))

# ---- message kinds: to the slave …
BUNDLE, SETUP, TASKS, TAKE_BACK, END_ATTEMPT, NEXT_RUNNER, CLOSE_CONTEXT, LEAVE = range(1, 9)
# … and from it
RUNNER_READY, BEGAN, OUTCOME, TAKEN_BACK, RUNNER_LOST, LEAVING = range(32, 38)

FRAME_HEADER = Struct("!IB")  # length of the body, kind of frame
_PREFIX = Struct("!BHI")  # kind of message, number of segments, length of the head
_ACK_BODY = Struct("!Q")  # how many messages have been received in this session


class Message(NamedTuple):
    """One message: its kind, its head (see :mod:`._messages`) and its segments."""

    kind: int
    head: bytes
    segments: Sequence[Buffer] = ()


def encode_frame(kind: int, body: bytes = b"") -> bytes:
    """Return one frame as bytes. Raises ValueError if the body is larger than a frame may be."""
    if len(body) > FRAME_LIMIT_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes: at most {FRAME_LIMIT_BYTES} are allowed")
    return FRAME_HEADER.pack(len(body), kind) + body


def encode_ack(received: int) -> bytes:
    """Return the frame that says how many messages have been received in this session."""
    return encode_frame(ACK, _ACK_BODY.pack(received))


def decode_ack(body: bytes) -> int:
    """Return the number in an ACK's body. Raises ProtocolError."""
    if len(body) != _ACK_BODY.size:
        raise ProtocolError(f"an ACK of {len(body)} bytes")
    return int(_ACK_BODY.unpack(body)[0])


def encode_message(message: Message) -> list[tuple[Buffer, ...]]:
    """Return a message as frames, each a tuple of buffers to be written in turn.

    A small message is one frame of one buffer; the segments of a large one are not copied.
    Raises ValueError if its head and the lengths of its segments don't fit in one frame.
    """
    kind, head, segments = message
    lengths = [len(segment) for segment in segments]
    start = b"".join(
        (
            _PREFIX.pack(kind, len(lengths), len(head)),
            Struct(f"!{len(lengths)}Q").pack(*lengths),
            head,
        )
    )
    if len(start) > FRAME_LIMIT_BYTES or len(lengths) > SEGMENT_COUNT_LIMIT:
        raise ValueError(f"a head of {len(head)} bytes with {len(lengths)} segments is too large")
    total = len(start) + sum(lengths)
    if total <= FRAME_LIMIT_BYTES:
        return [(b"".join((FRAME_HEADER.pack(total, WHOLE), start, *segments)),)]
    return _cut_into_parts(start, segments)


def _cut_into_parts(start: bytes, segments: Iterable[Buffer]) -> list[tuple[Buffer, ...]]:
    """Cut a large message: its start in a frame of its own, then the segments' pieces."""
    bodies: list[Buffer] = [start]
    for segment in segments:
        view = memoryview(segment)
        bodies += [
            view[at : at + FRAME_LIMIT_BYTES] for at in range(0, len(view), FRAME_LIMIT_BYTES)
        ]
    last = len(bodies) - 1
    return [
        (FRAME_HEADER.pack(len(body), WHOLE if i == last else PART), body)
        for i, body in enumerate(bodies)
    ]


class Decoder:
    """Turn bytes, however they were cut, into frames; and PART frames into messages.

    Args:
        limit_bytes: the largest message that is accepted.

    Until :meth:`introduce` is called, only short handshake frames are accepted, so that a
    stranger can make this end hold no more than 64 KiB.
    """

    def __init__(self, limit_bytes: int = MESSAGE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._frame_limit_bytes = HANDSHAKE_LIMIT_BYTES
        self._buffer = bytearray()
        self._partial: _PartialMessage | None = None

    def introduce(self) -> None:
        """Both ends have introduced themselves: accept messages from now on."""
        self._frame_limit_bytes = FRAME_LIMIT_BYTES

    def reset(self) -> None:
        """Forget what was half received: its stream has gone, and it will be sent again."""
        self._buffer.clear()
        self._partial = None
        self._frame_limit_bytes = HANDSHAKE_LIMIT_BYTES

    def feed(self, data: Buffer) -> list[tuple[int, bytes | Message]]:
        """Take the bytes that arrived; return the frames that they complete.

        A frame is its kind with its body, but WHOLE comes with the Message that it ends; PART
        frames are kept back until then. Raises ProtocolError at the first byte that can't be
        right; the decoder is of no use after that.
        """
        buffer = self._buffer
        buffer += data
        frames: list[tuple[int, bytes | Message]] = []
        at, end, header_size = 0, len(buffer), FRAME_HEADER.size
        while end - at >= header_size:
            length, kind = FRAME_HEADER.unpack_from(buffer, at)
            self._check_frame(length, kind)
            body_at = at + header_size
            if end - body_at < length:
                break
            at = body_at + length
            body = bytes(memoryview(buffer)[body_at:at])
            if kind == WHOLE or kind == PART:
                message = self._message_part(body, kind == WHOLE)
                if message is not None:
                    frames.append((WHOLE, message))
            else:
                frames.append((kind, body))
                if kind == HELLO or kind == WELCOME:
                    # whatever follows a handshake in the same read is judged by the new limits
                    self.introduce()
        del buffer[:at]
        return frames

    def _check_frame(self, length: int, kind: int) -> None:
        if kind not in _FRAME_KINDS:
            raise ProtocolError(f"a frame of the unknown kind {kind}")
        if length > self._frame_limit_bytes:
            raise ProtocolError(
                f"a frame of {length} bytes; at most {self._frame_limit_bytes} are allowed here"
            )

    def _message_part(self, body: bytes, is_last: bool) -> Message | None:
        if self._frame_limit_bytes == HANDSHAKE_LIMIT_BYTES:
            raise ProtocolError("a message before the handshake")
        partial = self._partial
        if partial is None:
            partial = self._partial = _PartialMessage(body, self._limit_bytes)
        else:
            partial.add(body)
        if not is_last:
            return None
        self._partial = None
        return partial.finish()


class _PartialMessage:
    """A message of which the first frame has arrived."""

    def __init__(self, first: bytes, limit_bytes: int) -> None:
        if len(first) < _PREFIX.size:
            raise ProtocolError(f"a message that begins with only {len(first)} bytes")
        self._kind, count, head_length = _PREFIX.unpack_from(first)
        lengths_end = _PREFIX.size + 8 * count
        head_end = lengths_end + head_length
        if count > SEGMENT_COUNT_LIMIT or head_end > len(first):
            raise ProtocolError(
                f"a message whose head ({head_end} bytes) is not in its first frame"
            )
        self._lengths = Struct(f"!{count}Q").unpack_from(first, _PREFIX.size)
        if sum(self._lengths) > limit_bytes:
            raise ProtocolError(
                f"a message of {sum(self._lengths)} bytes; at most {limit_bytes} are allowed"
            )
        self._head = first[lengths_end:head_end]
        self._segments: list[Buffer] = []
        self._open: bytearray | None = None
        self._fill(memoryview(first)[head_end:])

    def add(self, body: bytes) -> None:
        if not body:
            raise ProtocolError("an empty piece of a message")
        self._fill(memoryview(body))

    def _fill(self, data: memoryview) -> None:
        """Share out data over the segments, in order."""
        segments, lengths = self._segments, self._lengths
        while data:
            if len(segments) == len(lengths):
                raise ProtocolError("a message longer than it said")
            length = lengths[len(segments)]
            if self._open is None and len(data) >= length:  # the usual case: one piece
                segments.append(bytes(data[:length]))
                data = data[length:]
                continue
            if self._open is None:
                self._open = bytearray()
            missing = length - len(self._open)
            self._open += data[:missing]
            data = data[missing:]
            if len(self._open) == length:
                segments.append(self._open)
                self._open = None

    def finish(self) -> Message:
        for length in self._lengths[len(self._segments) :]:
            if length or self._open is not None:
                raise ProtocolError("a message shorter than it said")
            self._segments.append(b"")
        return Message(self._kind, self._head, self._segments)
