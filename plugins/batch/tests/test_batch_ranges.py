"""Numbers of tasks, as batch systems write them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_batch import parse_ranges
from imp_parallel_batch._ranges import ranges_of


@given(st.sets(st.integers(1, 60)))
def test_the_ranges_of_numbers_hold_just_these(numbers: set[int]) -> None:
    ranges = list(ranges_of(sorted(numbers)))
    assert [n for each in ranges for n in each] == sorted(numbers)
    assert all(after[0] > before[-1] + 1 for before, after in itertools.pairwise(ranges))


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 7))
def test_a_range_has_its_first_its_last_and_its_step(first: int, more: int, step: int) -> None:
    last = first + more
    assert list(parse_ranges(f"{first}-{last}:{step}")) == list(range(first, last + 1, step))
    assert list(parse_ranges(f"{first}")) == [first]
