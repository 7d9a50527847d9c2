"""A record's columns are as long as their batch, and exact to seven digits, however packed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_view._record_columns import (
    LONGEST,
    PACKED,
    read_column,
    read_numbers,
    written_integers,
    written_numbers,
    written_seconds,
)

LENGTHS = st.integers(1, 2 * PACKED)


@given(LENGTHS, st.integers(0, 1 << 50), st.integers(0, 2))
def test_a_column_of_any_length_is_read_as_it_was_written(length: int, first: int, by: int) -> None:
    column = tuple(first + by * at for at in range(length))
    written = json.loads(written_integers(column))
    assert read_column(written, length) == list(column)
    assert read_numbers(json.loads(written_numbers(column))) == list(column)


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=2 * PACKED))
def test_durations_are_exact_to_seven_digits(column: list[float]) -> None:
    read = read_column(json.loads(written_seconds(column)), len(column))
    assert read == pytest.approx(column, rel=1e-7, abs=1e-7)


def test_a_duration_that_32_bits_can_not_hold_is_written_all_the_same() -> None:
    column = [1e300] * PACKED
    assert read_column(json.loads(written_seconds(column)), PACKED) == column


@pytest.mark.parametrize("write", [written_integers, written_seconds])
def test_small_batches_are_lists_that_every_reader_understands(
    write: Callable[[Any], str],
) -> None:
    assert json.loads(write([1] * (PACKED - 1))) == [1] * (PACKED - 1)


@pytest.mark.parametrize(
    "value",
    [
        {"from": 0, "count": LONGEST + 1},
        {"from": 0, "count": 1e300},
        {"from": "0", "count": 2},
        {"from": 0},
        {},
        "text",
    ],
)
def test_a_short_text_never_becomes_a_long_column(value: object) -> None:
    assert read_numbers(value) is value
    assert read_column(value, 2) is value


def test_a_number_never_becomes_a_long_column() -> None:
    assert read_column(7, LONGEST + 1) == 7


@pytest.mark.parametrize("text", ["", "AAAA", "AAAAAA=", "*", "é"])
def test_floats_of_another_length_or_none_at_all_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_column({"float32": text}, 2)
