"""Errors as slaves send them, made such that whoever reads them can, whatever was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._wire.segments import DroppedSegments
from .._wire.shared_memory import open_segment

if TYPE_CHECKING:
    from .._wire.shared_memory import Segment

_TEXT_BYTES = 1 << 20  # more than that nobody reads
# the traceback, a line that names the exception, facts, what the attempt has printed, the
# exception's pickle; then the pickle's buffers
_PARTS = 5


def readable_error(segments: Sequence[Segment]) -> Sequence[Segment]:
    """Return the segments of an OUTCOME that is an error, with texts that are not too long.

    Those of a value that there was no memory for become a MemoryError.
    """
    if isinstance(segments, DroppedSegments):
        size = f"{segments.size_bytes:,} bytes"
        return _error(MemoryError(f"the master has no memory for what it returned, of {size}"))
    if len(segments) < _PARTS:
        return _error(None, "an error of which nothing is known: the slave did not send it whole")
    *texts, pickled = segments[:_PARTS]
    try:
        return [*map(shortened, texts), pickled, *segments[_PARTS:]]
    except (OSError, MemoryError):
        size = f"{sum(map(len, segments)):,} bytes"
        return _error(MemoryError(f"the master has no memory for the error, of {size}"))


def _error(exc: Exception | None, line: str = "") -> list[bytes]:
    import pickle  # only here: it takes a while to import, and is hardly ever needed for this

    line = line or f"{type(exc).__name__}: {exc}"
    return [b"", line.encode(), b"", b"", b"" if exc is None else pickle.dumps(exc, 5)]


def shortened(text: Segment) -> bytes:
    """Return a text as bytes; only the begin and the end of one that is very long."""
    left_out = len(text) - _TEXT_BYTES
    opened = memoryview(open_segment(text))
    if left_out <= 0:
        return bytes(opened)
    half = _TEXT_BYTES // 2
    note = b"\n[... %d bytes are left out ...]\n" % left_out
    return bytes(opened[:half]) + note + bytes(opened[-half:])
