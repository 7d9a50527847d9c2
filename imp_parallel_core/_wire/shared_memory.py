"""Large segments in memory that the processes of one machine share.

Such a segment is written once, into anonymous memory that the system knows by a descriptor
(memfd). The descriptor is what travels (:mod:`.descriptors`); who needs the bytes maps them, and
nobody copies them. The memory is sealed when it is written: nobody can change or shrink it under
its reader, however badly he behaves. It is freed when the last process has let go of it, whatever
way that came about.

A mapping is private: what a task writes to an array over it is copied then, page by page, and
nobody else sees it.

Where the system has no such memory, or too many descriptors are held already, segments are plain
bytes, which travel in the stream.
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
"""Shorter ones cost more by descriptor than in the stream."""

_HELD_LIMIT = 4096  # descriptors; and no more than this part of those that the process may open:
_HELD_PART = 4

_PIECE_BYTES = 1 << 16  # of a comparison: it stays in the processor's cache


class SharedBytes:
    """Bytes in shared memory, as long as this object lives; the descriptor is its own."""

    __slots__ = ("__weakref__", "_close", "_descriptor", "size")

    def __init__(self, descriptor: int, size: int = 0) -> None:
        self._close = os.close  # the module may be gone at the end of the process
        self._descriptor = descriptor
        self.size = size
        """How many bytes there are; 0 while a received descriptor has not been claimed."""
        _held.add(self)

    def __del__(self) -> None:
        self._close(self._descriptor)

    def __len__(self) -> int:
        return self.size

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def check(self) -> None:
        """Raise ProtocolError unless the bytes are there to stay: as many as said, and sealed."""
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
        """Return the bytes, to be read and written; what is written stays in this process.

        They are mapped, or copied if too many descriptors are held: a mapping holds one, for as
        long as anything refers to it. Raises OSError or MemoryError.
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
        """Whether it holds the very same bytes. Raises OSError."""
        piece = bytearray(_PIECE_BYTES)
        for at in range(0, self.size, _PIECE_BYTES):
            count = os.preadv(self._descriptor, [piece], at)
            # (a bytearray compares itself with any buffer as the system's library does)
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
    """Bytes that are being written to shared memory. Raises OSError if there can't be any."""

    def __init__(self) -> None:
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        self._bytes = SharedBytes(os.memfd_create("imp_parallel", flags))
        self._written = 0

    def __len__(self) -> int:
        return self._written

    def extend(self, data: Buffer) -> None:
        """Write more of them."""
        view = memoryview(data)
        while view:  # one write takes 2 GiB at most
            count = os.write(self._bytes.fileno(), view)
            self._written += count
            view = view[count:]

    def finish(self) -> SharedBytes:
        """Return what was written; from now on nobody can change it."""
        import fcntl

        fcntl.fcntl(self._bytes.fileno(), fcntl.F_ADD_SEALS, _seals())
        self._bytes.size = self._written
        return self._bytes


_held: WeakSet[SharedBytes | mmap.mmap] = WeakSet()
"""All that holds a descriptor."""


def share(data: Segment) -> SharedBytes | None:
    """Return a segment in shared memory, copied if need be; None if it does not pay or can't be."""
    if isinstance(data, SharedBytes):
        return data
    writer = new_writer(len(data))
    if writer is None:
        return None
    try:
        writer.extend(data)
        return writer.finish()
    except OSError:  # a limit that a task has set
        return None


def proof() -> list[SharedBytes]:
    """Return a segment that shows, when it arrives, that a stream passes descriptors; or none."""
    try:
        return [SharedWriter().finish()]
    except OSError:
        return []


def kept(data: Buffer) -> bytes | SharedBytes:
    """Return a copy of a segment that nobody changes any more: in shared memory, if that pays."""
    return share(data) or bytes(data)


def new_writer(size: int) -> SharedWriter | None:
    """Return where to write a segment of that size, under the same conditions."""
    if size < LEAST_BYTES or not IS_AVAILABLE or not _has_room():
        return None
    try:
        return SharedWriter()
    except OSError:
        return None


def opened(segments: Iterable[Segment]) -> list[Buffer]:
    """Return segments as the bytes that they are. Raises OSError or MemoryError."""
    return [open_segment(segment) for segment in segments]


def open_segment(segment: Any) -> Any:
    """Return a segment as the bytes that it is. Raises OSError or MemoryError."""
    return segment if isinstance(segment, (bytes, bytearray, memoryview)) else segment.open()


def checked(received: SharedBytes) -> SharedBytes:
    """Check a segment that came by descriptor, for an end that opens it later. Like adopt."""
    received.check()
    return received


def adopt(received: SharedBytes) -> Segment:
    """Check a segment that came by descriptor, and open it if that is possible now.

    For the end at which it is used. Raises ProtocolError.
    """
    received.check()
    try:
        return received.open()
    except (OSError, MemoryError):
        return received  # who uses it will see why


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
