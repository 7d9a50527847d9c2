"""For how long slaves on which tasks die are set aside, and which tasks wait for whom."""

from __future__ import annotations

from imp_parallel_core._scheduler.actions import SendTasks, SetAside, TakeBack
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._scheduler.tasks import Outcome, OutcomeKind, Task

GOOD, BAD = 0, 1
DONE = Outcome(OutcomeKind.VALUE, (), GOOD)


class TwoSlaves:
    """A scheduler whose slaves are set up; the first is at a task that takes long."""

    def __init__(self) -> None:
        self.now = 0.0
        self.scheduler = Scheduler()
        self.scheduler.context_opened(1, max_attempts=1000)
        self.items: dict[int, list[int]] = {GOOD: [], BAD: []}
        self.asked: set[int] = set()
        self.added = 0
        for slave in (GOOD, BAD):
            self.scheduler.slave_added(slave)
            self.do("runner_ready", slave)
        for slave in (GOOD, BAD):
            self.add()
            self.end(slave)  # its set-up
        for slave in (GOOD, BAD):
            self.end(slave)  # a task so short that another may wait behind it
        self.add()

    def do(self, event: str, *arguments: object) -> None:
        """Tell the scheduler of an event, and note what it decides."""
        for action in getattr(self.scheduler, event)(*arguments, self.now):
            if isinstance(action, SendTasks):
                self.items[action.slave] += [item for item, _ in action.tasks]
            elif type(action).__name__ == "SendSetup":
                self.items[action.slave].append(action.item)
            elif isinstance(action, TakeBack):
                self.asked.add(action.slave)
            elif isinstance(action, SetAside):
                self.items[action.slave].clear()

    def add(self) -> None:
        self.added += 1
        self.do("tasks_added", [Task(1, (b"",), id=self.added)])

    def end(self, slave: int) -> None:
        self.do("item_ended", slave, self.items[slave].pop(0), DONE, 0.05)

    def die(self, slave: int) -> None:
        """Have the runner of a slave die of its first item, and the next one set up."""
        item, self.items[slave] = self.items[slave][0], []
        self.do("runner_lost", slave, item, "killed")
        self.do("runner_ready", slave)

    def set_up(self, slave: int) -> None:
        self.add()
        self.end(slave)

    def aside_s(self) -> float:
        """Let time pass until the bad slave takes work again; return how long that was."""
        began_at = self.now
        while self.scheduler._slaves[BAD].is_aside:
            due = self.scheduler.next_tick()
            assert due is not None
            self.now = due
            self.do("tick")
        return self.now - began_at

    def die_until_set_aside(self) -> None:
        while not self.scheduler._slaves[BAD].is_aside:
            if BAD in [slave for slave in self.items if not self.items[slave]]:
                self.add()
            if not self.scheduler._slaves[BAD].contexts:
                self.end(BAD)
            self.die(BAD)


def test_a_slave_is_set_aside_twice_as_long_each_time_but_for_half_an_hour_at_most() -> None:
    slaves = TwoSlaves()
    times = []
    for _ in range(9):
        slaves.die_until_set_aside()
        times.append(slaves.aside_s())
    assert times == [30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0, 1800.0]


def test_a_slave_on_which_a_task_has_ended_is_set_aside_as_briefly_as_at_first() -> None:
    slaves = TwoSlaves()
    for _ in range(3):
        slaves.die_until_set_aside()
        slaves.aside_s()
    slaves.add()
    slaves.end(BAD)  # its set-up
    slaves.end(BAD)
    slaves.die_until_set_aside()
    assert slaves.aside_s() == 30.0


def test_a_task_that_waits_behind_another_is_not_taken_back_for_the_slave_it_died_on() -> None:
    slaves = TwoSlaves()
    slaves.add()
    slaves.die(BAD)
    assert slaves.items[BAD] == [], "the task waits for the other slave"
    slaves.do("items_returned", GOOD, [])  # whenever a slave is heard of, it gets what it can take
    assert len(slaves.items[GOOD]) == 2, "the task waits behind another now"
    slaves.now += 1.0
    slaves.do("tick")
    assert slaves.asked == set()


def test_nothing_is_remembered_of_a_context_that_is_closed() -> None:
    slaves = TwoSlaves()
    slaves.add()
    slaves.die(BAD)
    failed = Outcome(OutcomeKind.RAISED, (), BAD)
    slaves.scheduler.context_opened(2)
    slaves.do("tasks_added", [Task(2, (b"",), id=1)])
    slaves.do("item_ended", BAD, slaves.items[BAD].pop(0), failed, 0.05)  # a set-up
    assert slaves.scheduler._slaves[BAD].excluded == {2}
    for context in (1, 2):
        slaves.do("context_closed", context)
    assert slaves.scheduler._slaves[BAD].excluded == set()
    assert slaves.scheduler._board.deaths == {}


def test_a_task_that_died_waits_for_another_slave_for_the_time_of_two_tasks() -> None:
    slaves = TwoSlaves()
    slaves.scheduler._contexts[1].mean_s = 100.0
    slaves.add()
    slaves.die(BAD)
    assert slaves.scheduler.next_tick() == slaves.now + 200.0
