"""The slices of a row of a trace: none overlaps another, or viewers would leave one of them out.

When a task began is known only as well as the master can tell, and each time is rounded. So tasks
that ran one after the other may seem to overlap a little. Times are whole nanoseconds here, as in
Perfetto, so that nothing is rounded afterwards. Pure.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TypeVar

_What = TypeVar("_What")


def one_by_one(slices: Iterable[tuple[int, int, _What]]) -> list[tuple[int, int, _What]]:
    """Return slices (begin, end, what) in order, of which each begins when the last has ended.

    All are there: one that has no time left takes a nanosecond.
    """
    placed = []
    free_from = None
    for began, ended, what in sorted(slices, key=itemgetter(0, 1)):
        begin = began if free_from is None else max(began, free_from)
        free_from = max(ended, begin + 1)
        placed.append((begin, free_from, what))
    return placed


def between(
    begin: int, end: int, begins: Sequence[int], ends: Sequence[int], also_within: bool
) -> Iterator[tuple[int, int]]:
    """Yield the pieces of a slice that are between others.

    Args:
        begin, end: of the slice.
        begins, ends: of the others, as :func:`one_by_one` places them.
        also_within: whether to yield the pieces that others hold, too.
    """
    if begin >= end:
        return
    index = bisect_right(ends, begin)
    while index < len(begins) and begins[index] < end:
        if begin < begins[index]:
            yield begin, begins[index]
        if also_within:
            yield max(begin, begins[index]), min(end, ends[index])
        begin = ends[index]
        index += 1
    if begin < end:
        yield begin, end


def microseconds(nanoseconds: int) -> float:
    """Return the time as the format has it, which becomes the same whole nanoseconds again.

    Viewers multiply by a thousand, and some of them leave out what is behind the point then.
    """
    whole, rest = divmod(nanoseconds, 1000)
    if not rest:
        return whole
    shown = nanoseconds / 1000
    return shown if int(shown * 1000) == nanoseconds else math.nextafter(shown, math.inf)
