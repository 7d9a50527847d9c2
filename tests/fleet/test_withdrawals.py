"""Slaves that wait in a queue are withdrawn if they are too many, and never too many of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core._fleet.withdrawals import Demand, Surplus

TIMEOUT_S = 5.0


def withdrawn(surplus: Surplus, waiting: int, unfinished: int, seconds: range) -> list[int]:
    """Return what is withdrawn in each second while results are being read."""
    return [
        surplus.look(waiting, Demand(unfinished, float(now)), float(now), TIMEOUT_S)
        for now in seconds
    ]


def test_the_rest_is_withdrawn_once_it_has_been_too_many_for_the_whole_time() -> None:
    assert withdrawn(Surplus(), 90, 10, range(7)) == [0, 0, 0, 0, 0, 80, 0]


def test_no_slave_is_withdrawn_while_there_is_a_task_for_each() -> None:
    assert withdrawn(Surplus(), 90, 90, range(20)) == [0] * 20


def test_no_slave_is_withdrawn_before_tasks_are_added() -> None:
    assert withdrawn(Surplus(), 90, 0, range(20)) == [0] * 20


def test_no_slave_is_withdrawn_before_results_are_read() -> None:
    surplus, never = Surplus(), float("-inf")
    assert not any(surplus.look(90, Demand(1, never), now, TIMEOUT_S) for now in range(20))


def test_no_slave_is_withdrawn_long_after_results_were_read() -> None:
    surplus = Surplus()
    looks = [surplus.look(90, Demand(1, 2.0), float(now), TIMEOUT_S) for now in range(3, 20)]
    assert not any(looks)


def test_the_time_begins_anew_when_tasks_are_added() -> None:
    surplus = Surplus()
    assert not any(withdrawn(surplus, 90, 10, range(4)))
    assert not any(withdrawn(surplus, 90, 100, range(4, 5)))
    assert withdrawn(surplus, 90, 10, range(5, 11)) == [0, 0, 0, 0, 0, 80]


def test_slaves_that_were_added_last_have_their_time_too() -> None:
    surplus = Surplus()
    assert not any(withdrawn(surplus, 20, 10, range(4)))
    assert withdrawn(surplus, 120, 10, range(4, 6)) == [0, 10]


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 40), st.floats(0.1, 10.0)), max_size=60)
)
def test_a_waiting_slave_is_kept_for_every_task_without_an_outcome(
    steps: list[tuple[int, int, float]],
) -> None:
    surplus, now, waiting = Surplus(), 0.0, 30
    for change, unfinished, later_s in steps:
        now += later_s
        waiting = max(0, waiting + change)
        count = surplus.look(waiting, Demand(unfinished, now), now, TIMEOUT_S)
        assert count >= 0
        assert not count or waiting - count >= unfinished > 0
        waiting -= count
