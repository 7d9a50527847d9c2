"""People are told again of what lasts: ever more seldom, but never in silence."""

from __future__ import annotations

from imp_parallel_core.reminder import Reminder


def test_what_happens_again_and_again_is_told_each_time_that_it_has_doubled() -> None:
    reminder = Reminder()
    assert [count for count in range(1, 70) if reminder.remind(count)] == [1, 2, 4, 8, 16, 32, 64]


def test_what_lasts_is_told_first_after_a_while_and_then_when_it_has_grown() -> None:
    reminder = Reminder(first=3.5, growth=3.0)
    assert [second for second in range(100) if reminder.remind(second)] == [4, 12, 36]


def test_who_has_nothing_to_say_yet_is_asked_again() -> None:
    reminder = Reminder(first=5.0)
    assert not reminder.is_due(4.0)
    assert reminder.is_due(6.0)
    assert reminder.is_due(7.0)
    reminder.note_told(7.0)
    assert not reminder.is_due(13.0)
    assert reminder.is_due(14.0)
