"""Large segments in memory that the processes of one machine share.

Such a segment is written once, into anonymous memory that has a descriptor (memfd). Only the
descriptor travels (:mod:`.descriptors`). The process that needs the bytes maps them; no process
copies them. The memory is sealed after it has been written, so that no process can change or shrink
it under its reader. The system frees the memory when the last descriptor and the last mapping have
gone, however the processes end.

A mapping is private: when a task writes to an array over it, the system copies that page, and no
other process sees the change.

Where the system has no such memory, or this process holds too many descriptors already, segments
are plain bytes, which travel in the stream.
"""

from __future__ import annotations

import os
from weakref import WeakSet

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable

    from .types import Buffer

IS_AVAILABLE = hasattr(os, "memfd_create")  # on Linux

LEAST_BYTES = 256 * 1024
"""Shorter segments cost more as descriptors than in the stream."""

_HELD_LIMIT = 4096  # descriptors that this process holds for segments at most, and …
_HELD_PART = 4  # … one in so many of the descriptors that it may open

_PIECE_BYTES = 1 << 16  # compared at a time: so many bytes stay in the processor's cache


class SharedBytes:
    """Bytes in shared memory. This object owns the descriptor, and closes it in the end."""

    __slots__ = ("__weakref__", "_close", "_descriptor", "size")

    def __init__(self, descriptor: int, size: int = 0) -> None:
        self._close = os.close  # the module may be gone at the end of the process
        self._descriptor = descriptor
        self.size = size
        """The number of bytes; 0 for a received descriptor until a message claims it."""
        _held.add(self)

    def __del__(self) -> None:
        self._close(self._descriptor)

    def __len__(self) -> int:
        return self.size

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def check(self) -> None:
        """Raise ProtocolError unless the memory is sealed and has the size that was announced."""
        if not self.size:
            raise ProtocolError("shared memory without a byte")
        import fcntl

        try:
            seals = fcntl.fcntl(self._descriptor, fcntl.F_GET_SEALS)
        except OSError:
            raise ProtocolError("a descriptor of something else than shared memory") from None
        if seals & _seals() != _seals():
            raise ProtocolError("shared memory that is not sealed")
        size = os.fstat(self._descriptor).st_size
        if size != self.size:
            raise ProtocolError(f"shared memory of {size} bytes instead of {self.size}")

    def open(self) -> Buffer:
        """Return the bytes, for reading and writing; what is written stays in this process.

        The bytes are mapped, or copied if this process holds too many descriptors: a mapping holds
        one for as long as anything refers to it. Raises OSError or MemoryError.
        """
        if not _has_room():
            return self._read()
        import mmap

        mapped = mmap.mmap(
            self._descriptor, self.size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE
        )
        _held.add(mapped)
        return memoryview(mapped)

    def is_same(self, raw: memoryview) -> bool:
        """Whether the memory holds exactly these bytes. Raises OSError."""
        piece = bytearray(_PIECE_BYTES)
        for at in range(0, self.size, _PIECE_BYTES):
            count = os.preadv(self._descriptor, [piece], at)
            # a bytearray compares itself with any buffer by memcmp
            if (piece if count == _PIECE_BYTES else piece[:count]) != raw[at : at + count]:
                return False
        return len(raw) == self.size

    def _read(self) -> bytearray:
        data = bytearray(self.size)
        view, at = memoryview(data), 0
        while at < self.size:
            at += os.preadv(self._descriptor, [view[at:]], at)
        return data


class SharedWriter:
    """Writes bytes to new shared memory. Raises OSError if the system grants none."""

    def __init__(self) -> None:
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        self._bytes = SharedBytes(os.memfd_create("imp_parallel", flags))
        self._written = 0

    def __len__(self) -> int:
        return self._written

    def extend(self, data: Buffer) -> None:
        """Append bytes."""
        view = memoryview(data)
        while view:  # one write takes 2 GiB at most
            count = os.write(self._bytes.fileno(), view)
            self._written += count
            view = view[count:]

    def finish(self) -> SharedBytes:
        """Seal the memory, and return the bytes that were written."""
        import fcntl

        fcntl.fcntl(self._bytes.fileno(), fcntl.F_ADD_SEALS, _seals())
        self._bytes.size = self._written
        return self._bytes


_held: WeakSet[SharedBytes | mmap.mmap] = WeakSet()
"""All objects of this process that hold a descriptor of shared memory."""


def share(data: Segment) -> SharedBytes | None:
    """Return a segment in shared memory, copied if need be.

    None if the segment is too small, or if shared memory is unavailable.
    """
    if isinstance(data, SharedBytes):
        return data
    writer = new_writer(len(data))
    if writer is None:
        return None
    try:
        writer.extend(data)
        return writer.finish()
    except OSError:  # a task may have set a limit on the size of files
        return None


def proof() -> list[SharedBytes]:
    """Return an empty segment to send with a HELLO: if it arrives, the stream passes descriptors.

    Returns an empty list if there is no shared memory.
    """
    try:
        return [SharedWriter().finish()]
    except OSError:
        return []


def kept(data: Buffer) -> bytes | SharedBytes:
    """Return a copy of a segment that nobody will change; in shared memory if that pays."""
    return share(data) or bytes(data)


def new_writer(size: int) -> SharedWriter | None:
    """Return a writer for a segment of that size; None as for :func:`share`."""
    if size < LEAST_BYTES or not IS_AVAILABLE or not _has_room():
        return None
    try:
        return SharedWriter()
    except OSError:
        return None


def opened(segments: Iterable[Segment]) -> list[Buffer]:
    """Return the bytes of segments. Raises OSError or MemoryError."""
    return [open_segment(segment) for segment in segments]


def open_segment(segment: Any) -> Any:
    """Return the bytes of a segment. Raises OSError or MemoryError."""
    return segment if isinstance(segment, (bytes, bytearray, memoryview)) else segment.open()


def checked(received: SharedBytes) -> SharedBytes:
    """Return a segment that came as a descriptor, to be opened later. Raises ProtocolError."""
    received.check()
    return received


def adopt(received: SharedBytes) -> Segment:
    """Return the bytes of a segment that came as a descriptor. Raises ProtocolError.

    If the bytes can't be opened now, returns the segment itself.
    """
    received.check()
    try:
        return received.open()
    except (OSError, MemoryError):
        return received  # opening it later raises the reason


def _has_room() -> bool:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit // _HELD_PART < _HELD_LIMIT:
        return len(_held) < limit // _HELD_PART
    return len(_held) < _HELD_LIMIT


def _seals() -> int:
    import fcntl

    return fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


if TYPE_CHECKING:
    Segment = Buffer | SharedBytes
