"""A large message while it arrives. It takes memory as bytes arrive, not as they are announced."""

from __future__ import annotations

from collections import deque

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING
from .protocol import (
    BY_DESCRIPTOR,
    DESCRIPTOR_LIMIT,
    FRAME_LIMIT_BYTES,
    Message,
    read_message_start,
)
from .segments import DroppedSegments
from .shared_memory import SharedWriter, new_writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .shared_memory import Segment

_ROOM_CHECK_BYTES = 1 << 26  # after so many more bytes, has_room is asked again


class PartialMessage:
    """A message whose first frame has arrived.

    Args:
        first: the body of that frame; the caller passes it to :meth:`add_rest_of`, too.
        limit_bytes, shares, has_room: see :class:`.decoder.Decoder`.
    """

    def __init__(
        self,
        first: bytes,
        limit_bytes: int,
        *,
        shares: bool,
        has_room: Callable[[int], bool] | None,
    ) -> None:
        self._kind, self._head, lengths, self._begin = read_message_start(first, 0, len(first))
        self._lengths = [length & ~BY_DESCRIPTOR for length in lengths]
        self.by_descriptor = [i for i, length in enumerate(lengths) if length & BY_DESCRIPTOR]
        """The indexes of the segments that come as descriptors; see :meth:`put`."""
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
        self._size = sum(self._lengths[index] for index in self._missing)  # in the stream
        self.arrived_bytes = 0
        """How many bytes of the segments the stream has brought."""
        self._checked_at = 0  # arrived_bytes when has_room was asked last
        self._is_dropped = self._size > _ROOM_CHECK_BYTES and not self._has_room_for_rest()

    def size_of(self, index: int) -> int:
        """Return the announced length of a segment."""
        return self._lengths[index]

    def put(self, index: int, segment: Segment) -> None:
        """Put a segment in its place that came as a descriptor."""
        self._segments[index] = segment

    def add_rest_of(self, first: bytes) -> None:
        """Add those bytes of the segments that the first frame brought."""
        self.add(memoryview(first)[self._begin :])

    def add(self, data: memoryview) -> None:
        """Append data to the segments, in order; or drop it, if there is no memory."""
        self.arrived_bytes += len(data)
        if self.arrived_bytes > self._size:
            raise ProtocolError("a message longer than it said")
        if self._is_dropped:
            return
        try:
            self._append(data)
        except MemoryError:
            if self._has_room is None:
                raise
            self._drop()
        if self.arrived_bytes - self._checked_at > _ROOM_CHECK_BYTES:
            self._checked_at = self.arrived_bytes
            if not self._has_room_for_rest():
                self._drop()

    def _has_room_for_rest(self) -> bool:
        return self._has_room is None or self._has_room(self._size - self.arrived_bytes)

    def _drop(self) -> None:
        self._is_dropped = True
        self._segments, self._open = [], None

    def _append(self, data: memoryview) -> None:
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
        """Return the message. Raises ProtocolError if bytes of it are missing."""
        if self.arrived_bytes != self._size:
            raise ProtocolError("a message longer or shorter than it said")
        if self._is_dropped:
            dropped = DroppedSegments()
            dropped.size_bytes = self._size
            return Message(self._kind, self._head, dropped)
        return Message(self._kind, self._head, self._segments)


def _finished(segment: bytearray | SharedWriter) -> Segment:
    if isinstance(segment, SharedWriter):
        return segment.finish()
    # how the bytes were cut must not decide of which type a segment is
    return segment if len(segment) > FRAME_LIMIT_BYTES else bytes(segment)
