"""Whether a slave takes tasks, and how long it stays after a batch system's warning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core._slave.availability import NEVER, Availability

NOTICE_S = 60.0
STEPS = ("pause", "go_on", "leave", "has_sent_everything")


def test_a_slave_that_was_not_warned_takes_tasks_and_stays() -> None:
    stay = Availability()
    assert stay.takes_tasks
    assert not stay.go_on()
    assert stay.deadline == NEVER
    assert not stay.is_pause_over(1e9)
    assert not stay.is_farewell_over(1e9)


def test_a_slave_that_was_stopped_and_continued_takes_tasks_again() -> None:
    stay = Availability()
    assert stay.pause(0.0, NOTICE_S)
    assert not stay.takes_tasks
    assert stay.go_on()
    assert stay.takes_tasks
    assert not stay.is_pause_over(1e9)


def test_a_warning_is_one_of_an_end_only_after_a_stop_may_have_come_late() -> None:
    stay = Availability()
    stay.pause(100.0, NOTICE_S)
    assert not stay.is_pause_over(100.0 + NOTICE_S)
    assert not stay.is_pause_over(stay.deadline - 0.001)
    assert stay.is_pause_over(stay.deadline)
    assert stay.deadline < 100.0 + NOTICE_S + 60.0


def test_a_second_warning_does_not_make_the_pause_longer() -> None:
    stay = Availability()
    stay.pause(0.0, NOTICE_S)
    deadline = stay.deadline
    assert not stay.pause(30.0, NOTICE_S)
    assert stay.deadline == deadline


def test_a_slave_that_leaves_takes_no_more_tasks_whatever_happens() -> None:
    stay = Availability()
    stay.pause(0.0, NOTICE_S)
    assert stay.leave()
    assert not stay.leave()
    assert not stay.pause(1.0, NOTICE_S)
    assert not stay.go_on()
    assert not stay.takes_tasks
    assert not stay.is_pause_over(1e9)


def test_the_wait_for_leave_begins_once_when_everything_was_sent() -> None:
    stay = Availability()
    stay.leave()
    assert stay.deadline == NEVER
    stay.has_sent_everything(10.0)
    deadline = stay.deadline
    stay.has_sent_everything(deadline - 0.001)
    assert stay.deadline == deadline
    assert not stay.is_farewell_over(deadline - 0.001)
    assert stay.is_farewell_over(deadline)


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.floats(0.001, 100.0))))
def test_a_slave_is_working_paused_or_leaving_and_is_woken_when_a_wait_is_over(
    steps: list[tuple[str, float]],
) -> None:
    stay, state, now = Availability(), "working", 0.0
    for step, passed_s in steps:
        now += passed_s
        if step == "pause":
            assert stay.pause(now, NOTICE_S) == (state == "working")
            state = "paused" if state == "working" else state
        elif step == "go_on":
            assert stay.go_on() == (state == "paused")
            state = "working" if state == "paused" else state
        elif step == "leave":
            assert stay.leave() == (state != "leaving")
            state = "leaving"
        elif state == "leaving":
            stay.has_sent_everything(now)
        assert stay.takes_tasks == (state == "working")
        assert stay.is_leaving == (state == "leaving")
        assert (stay.is_pause_over(now) or stay.is_farewell_over(now)) == (now >= stay.deadline)
