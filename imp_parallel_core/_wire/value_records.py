"""The records of small values, of which a VALUES message consists (docs/protocol.md).

A runner writes a record to its pipe for each small value. Its supervisor, and then the master, get
as many of them in one message as have come together.
"""

from __future__ import annotations

from struct import Struct, error

from .._errors import ProtocolError
from .._light_typing import NamedTuple

VALUE_RECORD = Struct("!QdII")  # item, duration (s), peak memory (KiB), length of the pickle behind

_FOREVER = float("inf")


class Values(NamedTuple):
    """The records of a VALUES message, in order, as columns: each has an entry for each record."""

    items: list[int]
    durations_s: list[float]
    peaks_kib: list[int]
    """The most memory that the process has held at each; 0 if that was not measured."""
    pickles: list[bytes]


def unpack_values(records: bytes) -> Values:
    """Return the records of a VALUES. Raises ProtocolError."""
    items, durations_s, peaks_kib, pickles = values = Values([], [], [], [])
    unpack, size = VALUE_RECORD.unpack_from, VALUE_RECORD.size
    at, end = 0, len(records)
    try:
        while at < end:
            item, duration_s, peak_kib, length = unpack(records, at)
            at += size
            items.append(item)
            durations_s.append(duration_s)
            peaks_kib.append(peak_kib)
            pickles.append(records[at : at + length])
            at += length
    except error as problem:
        raise ProtocolError("a record of VALUES is not complete") from problem
    if at != end:
        raise ProtocolError("the last record of VALUES is not complete")
    if not -_FOREVER < sum(durations_s) < _FOREVER:  # if the sum is finite, so is each
        for duration_s in durations_s:
            if not -_FOREVER < duration_s < _FOREVER:
                raise ProtocolError(f"a duration of {duration_s} s")
    return values
