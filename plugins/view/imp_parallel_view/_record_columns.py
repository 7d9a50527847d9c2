"""The columns of batches in a record, as values of JSON and back. Pure.

A column has an entry for each task of a batch, and the columns are nearly all of a record. A batch
of fewer than ``PACKED`` tasks has a list for each, which every reader of JSON understands. In
larger batches tasks are short, and to write each number as text would take a good part of the time
that its task takes. So their columns may be shorter:

- ``7``: all entries are 7;
- ``{"from": 120, "count": 3}``: the entries are 120, 121 and 122;
- ``{"float32": "…"}``: the entries are floats of 32 bits, little-endian, in base64.
"""

from __future__ import annotations

from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Sequence
from struct import error as struct_error
from struct import pack, unpack

PACKED = 16
"""From how many tasks on a batch's columns are packed."""
LONGEST = 1 << 20
"""Up to how many tasks they are: a short text that stands for a long column takes little memory."""
_DIGITS = 7  # of seconds
_FIXED = f"%.{_DIGITS}f"


def written_numbers(column: Sequence[int]) -> str:
    """Return the JSON of the tasks' numbers of a batch, which also says how many tasks it has."""
    count = len(column)
    if PACKED <= count <= LONGEST:
        first = column[0]
        if column[-1] - first == count - 1 and (
            type(column) is range or tuple(column) == tuple(range(first, first + count))
        ):
            return f'{{"from":{first},"count":{count}}}'
    return str(list(column)).replace(" ", "")


def written_integers(column: Sequence[int]) -> str:
    """Return the JSON of a column of integers."""
    count = len(column)
    if PACKED <= count <= LONGEST and column.count(column[0]) == count:
        return str(column[0])
    return written_numbers(column)


def written_seconds(column: Sequence[float]) -> str:
    """Return the JSON of a column of durations, to seven digits of each or to 0.1 µs."""
    count = len(column)
    if PACKED <= count <= LONGEST:
        try:
            packed = pack(f"<{count}f", *column)
        except OverflowError:  # no duration is so long: they are written as they are
            pass
        else:
            return f'{{"float32":"{b2a_base64(packed, newline=False).decode()}"}}'
    return f"[{','.join([_FIXED % seconds for seconds in column])}]"


def read_numbers(value: object) -> object:
    """Return the tasks' numbers of a batch, which may be packed; what can't be one as it is."""
    if isinstance(value, dict) and value.keys() == {"from", "count"}:
        first, count = value["from"], value["count"]
        if type(first) is int and type(count) is int and 0 < count <= LONGEST:
            return list(range(first, first + count))
    return value


def read_column(value: object, count: int) -> object:
    """Return the entries of a column that may be packed; what can't be one as it is.

    Args:
        value: what JSON says.
        count: how many tasks the batch has.

    Raises ValueError if the text of floats can't be unpacked.
    """
    if type(value) is int and count <= LONGEST:
        return [value] * count
    if isinstance(value, dict) and isinstance(text := value.get("float32"), str):
        try:
            return list(unpack(f"<{count}f", a2b_base64(text, strict_mode=True)))
        except (Error, struct_error) as problem:
            raise ValueError(str(problem)) from None
    return read_numbers(value)
