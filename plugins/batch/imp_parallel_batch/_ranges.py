"""Numbers of tasks as batch systems write them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def parse_ranges(text: str) -> Iterator[int]:
    """Yield the numbers of such as ``1-7:2,9``. Raises ValueError."""
    for part in filter(None, text.split(",")):
        limits, _, step = part.partition(":")
        first, _, last = limits.partition("-")
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def ranges_of(numbers: Sequence[int]) -> Iterator[range]:
    """Yield each run of successive numbers. They are in order."""
    first = 0
    for at, number in enumerate(numbers):
        if at + 1 == len(numbers) or numbers[at + 1] != number + 1:
            yield range(numbers[first], number + 1)
            first = at + 1
