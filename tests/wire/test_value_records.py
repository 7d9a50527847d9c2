"""The records of small values: read as they were written, and refused if one is not complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core._errors import ProtocolError
from imp_parallel_core._wire.value_records import VALUE_RECORD, unpack_values

u32, u64 = (st.integers(0, 2**bits - 1) for bits in (32, 64))
seconds = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(u64, seconds, u32, st.binary(max_size=9))), st.integers(0, 40))
def test_value_records_are_read_as_they_were_written_and_refused_if_one_is_cut(
    values: list[tuple[int, float, int, bytes]], cut: int
) -> None:
    records = b"".join(
        VALUE_RECORD.pack(item, duration_s, peak_kib, len(pickled)) + pickled
        for item, duration_s, peak_kib, pickled in values
    )
    assert list(zip(*unpack_values(records), strict=True)) == values
    ends = {0}
    for *_, pickled in values:
        ends.add(max(ends) + VALUE_RECORD.size + len(pickled))
    if len(records) - cut not in ends and cut <= len(records):
        with pytest.raises(ProtocolError, match="not complete"):
            unpack_values(records[: len(records) - cut])


@pytest.mark.parametrize("duration_s", [float("inf"), float("-inf"), float("nan")])
def test_a_duration_that_is_no_time_is_a_protocol_error(duration_s: float) -> None:
    records = VALUE_RECORD.pack(1, 0.5, 0, 0) + VALUE_RECORD.pack(2, duration_s, 0, 0)
    with pytest.raises(ProtocolError, match="duration"):
        unpack_values(records)


def test_durations_whose_sum_is_too_large_for_a_number_are_durations_all_the_same() -> None:
    records = VALUE_RECORD.pack(1, 1e308, 0, 0) * 2
    assert unpack_values(records).durations_s == [1e308, 1e308]
