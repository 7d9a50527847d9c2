"""What is asked of slaves that are heard, and which of them are given up."""

from __future__ import annotations

from imp_parallel_core._scheduler.actions import Action, EndAttempt, GiveUp, SendTasks, TakeBack
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._scheduler.tasks import Outcome, OutcomeKind, Task

PATIENCE_S = 30.0
HOURS = 10 * 3600


class OneSlave:
    """A scheduler whose one slave is at a task; and a clock."""

    def __init__(self, tasks: int = 1, task_limit_s: float = 0.0) -> None:
        self.now = 0.0
        self.scheduler = Scheduler()
        self.scheduler.context_opened(1, task_limit_s=task_limit_s)
        self.scheduler.slave_added(0)
        self.scheduler.runner_ready(0, 0.0)
        added = [Task(1, (b"",), id=id) for id in range(tasks)]
        (setup,) = self.scheduler.tasks_added(added, 0.0)
        self.actions: list[Action] = []
        self.item = self.end(setup.item)  # type: ignore[union-attr]  # a SendSetup

    def end(self, item: int, duration_s: float = 100.0) -> int:
        """End an item; return the next that is sent."""
        done = Outcome(OutcomeKind.VALUE, (), 0)
        for action in self.scheduler.item_ended(0, item, done, duration_s, self.now):
            if isinstance(action, SendTasks):
                return action.tasks[0][0]
        return 0

    def looks(self, count: int, *, answers: bool) -> list[Action]:
        """Look at it so often; return what was decided."""
        decided: list[Action] = []
        for _ in range(count):
            self.now += PATIENCE_S / 4
            actions = self.scheduler.slave_present(0, PATIENCE_S, self.now)
            decided += actions
            if answers and TakeBack(0) in actions:
                decided += self.scheduler.items_returned(0, [], self.now)
        return decided


def given_up(actions: list[Action]) -> list[GiveUp]:
    return [action for action in actions if isinstance(action, GiveUp)]


def test_a_slave_whose_task_takes_long_is_asked_once_in_the_patience() -> None:
    assert OneSlave().looks(21, answers=True) == [TakeBack(0)] * 5


def test_a_slave_that_answers_is_left_alone_for_hours() -> None:
    slave = OneSlave()
    assert not given_up(slave.looks(int(4 * HOURS / PATIENCE_S), answers=True))


def test_a_slave_that_does_not_answer_is_given_up_after_the_patience() -> None:
    slave = OneSlave()
    assert slave.looks(5, answers=False) == [TakeBack(0)]
    assert not slave.looks(4, answers=False)
    (gone,) = slave.looks(1, answers=False)
    assert isinstance(gone, GiveUp)
    assert "30 s (heartbeat_timeout)" in gone.why
    assert not gone.is_charged
    assert not slave.looks(20, answers=False), "once"


def test_a_slave_that_answers_between_the_looks_may_be_asked_again_and_again() -> None:
    slave = OneSlave()
    slave.looks(5, answers=False)
    state = slave.scheduler._slaves[0]
    for _ in range(100):
        assert state.awaits_return
        assert not given_up(slave.looks(1, answers=False))
        slave.scheduler.items_returned(0, [], slave.now)
        slave.scheduler._board.take_back(state)


def test_a_slave_that_was_away_or_silent_has_all_its_time_again() -> None:
    slave = OneSlave()
    slave.looks(9, answers=False)
    slave.scheduler.slave_away(0, slave.now)
    assert not slave.looks(100, answers=False)
    slave.scheduler.slave_back(0, slave.now)
    assert not slave.looks(4, answers=False)
    slave.scheduler.slave_suspected(0, slave.now)
    assert not slave.looks(100, answers=False)
    slave.scheduler.slave_heard(0, slave.now)
    assert not slave.looks(4, answers=False)
    assert given_up(slave.looks(2, answers=False))


def test_a_slave_that_does_not_end_an_attempt_is_given_up_also_if_it_answers() -> None:
    slave = OneSlave()
    slave.looks(5, answers=True)
    assert EndAttempt(0, slave.item) in slave.scheduler.context_closed(1, slave.now)
    assert not given_up(slave.looks(4, answers=True))
    (gone,) = given_up(slave.looks(1, answers=True))
    assert "has not ended" in gone.why


def test_a_task_long_after_its_time_limit_costs_its_slave_and_is_charged() -> None:
    slave = OneSlave(task_limit_s=600.0)
    assert not given_up(slave.looks(int(4 * 900 / PATIENCE_S), answers=True))
    (gone,) = given_up(slave.looks(10, answers=True))
    assert "time limit of 600 s" in gone.why
    assert gone.is_charged


def test_the_time_in_which_a_slave_was_not_heard_does_not_count_to_a_time_limit() -> None:
    slave = OneSlave(task_limit_s=600.0)
    for _ in range(20):
        slave.now += 10_000.0
        assert not given_up(slave.looks(1, answers=True))


def test_a_slave_that_works_and_leaves_out_a_task_is_given_up() -> None:
    slave = OneSlave(tasks=1000)
    left_out = slave.end(slave.item, duration_s=0.0001)
    slave.end(left_out + 1, duration_s=0.0001)
    (gone,) = given_up(slave.looks(5, answers=True))
    assert "left out" in gone.why


def test_outcomes_of_items_that_it_does_not_have_are_no_progress() -> None:
    slave = OneSlave()
    slave.looks(9, answers=False)
    slave.end(999)
    assert given_up(slave.looks(1, answers=False))


def hand_back(slave: OneSlave) -> list[GiveUp]:
    """Hand back the task that the slave should be at; return whether it is given up for that."""
    actions = slave.scheduler.items_returned(0, [slave.item], slave.now)
    for action in actions:
        if isinstance(action, SendTasks):
            slave.item = action.tasks[0][0]
    return given_up(actions)


def test_a_slave_that_hands_back_what_it_was_given_again_and_again_is_given_up() -> None:
    slave = OneSlave(tasks=9)
    assert not hand_back(slave)
    assert not hand_back(slave)
    (gone,) = hand_back(slave)
    assert "done none of it, 3 times in a row" in gone.why


def test_a_slave_that_ends_a_task_between_may_hand_back_again() -> None:
    slave = OneSlave(tasks=9)
    for _ in range(3):
        assert not hand_back(slave)
        assert not hand_back(slave)
        slave.item = slave.end(slave.item)
