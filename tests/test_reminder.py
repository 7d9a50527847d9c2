"""People are told again of what lasts: ever more seldom, but never in silence."""

from __future__ import annotations

from imp_parallel_core.reminder import Reminder, SharedReminder


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


def test_things_that_last_for_one_reason_are_told_at_once_and_ever_more_seldom() -> None:
    shared = SharedReminder[int](first_s=10.0, growth=3.0)
    told = []
    for second in range(1000, 1300):
        for member in range(50):
            alike = shared.remind(member, "no room", 1000.0 + member / 10, float(second))
            if alike:
                told.append((second - 1000, len(alike)))
    assert told == [(10, 50), (30, 50), (90, 50), (270, 50)]


def test_what_lasts_for_another_reason_or_no_more_is_not_told_with_them() -> None:
    shared = SharedReminder[str](first_s=10.0)
    for member, kind in (("a", "room"), ("b", "room"), ("c", "licence"), ("d", "room")):
        assert shared.remind(member, kind, 0.0, 1.0) == {}
    assert shared.lasts("licence")
    assert not shared.lasts("weather")
    shared.forget("d")
    assert shared.remind("a", "room", 0.0, 11.0) == {"a": 11.0, "b": 11.0}
    assert shared.remind("b", "room", 0.0, 11.5) == {}
    assert shared.remind("c", "licence", 0.0, 12.0) == {"c": 12.0}
    assert shared.remind("a", "room", 0.0, 200.0) == {"a": 200.0}, "b was not spoken of any more"


def test_what_begins_again_lasts_from_then_on() -> None:
    shared = SharedReminder[str](first_s=10.0)
    assert shared.remind("a", "room", 0.0, 10.0) == {"a": 10.0}
    assert shared.remind("a", "room", 100.0, 105.0) == {}
    assert shared.remind("a", "room", 100.0, 110.0) == {"a": 10.0}


def test_people_are_told_again_after_the_longest_pause_at_least() -> None:
    shared = SharedReminder[str](first_s=10.0, growth=3.0, longest_s=50.0)
    told = [s for s in range(400) if shared.remind("a", "room", 0.0, float(s))]
    assert told == [10, 30, 80, 130, 180, 230, 280, 330, 380]
