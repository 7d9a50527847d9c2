"""The model of a run: whatever happens, its counts are those of what has happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_view._model import RunModel
from imp_parallel_view._slaves import Doing

from imp_parallel_core import (
    ContextDone,
    ContextOpened,
    Event,
    EventsMissed,
    RunBegan,
    RunEnded,
    RunnerLost,
    SlaveChanged,
    TasksAdded,
    TasksDone,
    TasksForgotten,
    TasksReturned,
    TasksSent,
)

OUTCOMES = ("value", "raised", "lost", "set-up failed", "cancelled")


def done(
    at: float, context: int, slave: str, tasks: list[int], outcome: str = "value", error: str = ""
) -> TasksDone:
    """Return the event of tasks that have ended after a second each."""
    ones = [1] * len(tasks)
    seconds = [1.0] * len(tasks)
    return TasksDone(at, context, slave, outcome, error, tasks, ones, seconds, ones, ones)


def sent(at: float, context: int, slave: str, tasks: list[int]) -> TasksSent:
    """Return the event of tasks that have been sent for the first time."""
    return TasksSent(at, context, slave, tasks, [1] * len(tasks))


def working(at: float, slave: str) -> SlaveChanged:
    """Return the event of a slave that begins to work."""
    return SlaveChanged(at, slave, "working", "", "anna", 1)


class MadeUpRun:
    """A run that draws what happens next, and counts by itself."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw
        self.at = 0.0
        self.events: list[Event] = []
        self.added = Counter[int]()
        self.waiting: dict[int, list[int]] = {}
        self.at_slaves: dict[str, list[tuple[int, int]]] = {}
        self.outcomes = Counter[tuple[int, str]]()
        self.forgotten = Counter[int]()

    def step(self) -> None:
        """Let something happen."""
        self.at += self.draw(st.floats(0.0, 10.0))
        self.draw(st.sampled_from([self.add, self.send, self.end, self.give_back, self.forget]))()

    def add(self) -> None:
        context, count = self.draw(st.integers(1, 3)), self.draw(st.integers(1, 50))
        if context not in self.waiting:
            self.events.append(ContextOpened(self.at, context, f"name {context}"))
        numbers = range(self.added[context], self.added[context] + count)
        self.waiting.setdefault(context, []).extend(numbers)
        self.added[context] += count
        self.events.append(TasksAdded(self.at, context, count, self.added[context]))

    def send(self) -> None:
        for context, waiting in self.waiting.items():
            if waiting:
                slave = f"slave {self.draw(st.integers(0, 4))}"
                some = [waiting.pop() for _ in range(self.draw(st.integers(1, len(waiting))))]
                self.at_slaves.setdefault(slave, []).extend((context, task) for task in some)
                self.events.append(sent(self.at, context, slave, some))
                return

    def _some_of_a_slave(self) -> tuple[int, str, list[int]] | None:
        for slave, tasks in self.at_slaves.items():
            if tasks:
                context = tasks[0][0]
                mine = [task for number, task in tasks if number == context]
                some = mine[: self.draw(st.integers(1, len(mine)))]
                for task in some:
                    tasks.remove((context, task))
                return context, slave, some
        return None

    def end(self) -> None:
        if chosen := self._some_of_a_slave():
            context, slave, some = chosen
            outcome = self.draw(st.sampled_from(OUTCOMES))
            self.outcomes[context, outcome] += len(some)
            self.events.append(done(self.at, context, slave, some, outcome))

    def give_back(self) -> None:
        if chosen := self._some_of_a_slave():
            context, slave, some = chosen
            self.waiting[context].extend(some)
            self.events.append(TasksReturned(self.at, context, slave, some))

    def forget(self) -> None:
        for context, waiting in self.waiting.items():
            if waiting:
                self.forgotten[context] += len(waiting)
                self.events.append(TasksForgotten(self.at, context, len(waiting)))
                waiting.clear()
                return


@given(st.data())
def test_the_counts_are_those_of_what_has_happened(data: st.DataObject) -> None:
    run = MadeUpRun(data.draw)
    for _ in range(data.draw(st.integers(0, 60))):
        run.step()
    model = RunModel()
    cut = data.draw(st.integers(0, len(run.events)))
    model.tell(run.events[:cut])
    model.tell(run.events[cut:])
    for number, counts in model.contexts.items():
        failed = sum(run.outcomes[number, outcome] for outcome in OUTCOMES[1:4])
        assert counts.name == f"name {number}"
        assert counts.added == run.added[number]
        assert counts.done == run.outcomes[number, "value"]
        assert counts.failed == failed
        assert counts.cancelled == run.outcomes[number, "cancelled"] + run.forgotten[number]
        held = sum(context == number for at in run.at_slaves.values() for context, _ in at)
        assert counts.left == len(run.waiting[number]) + held
    total = model.total()
    assert total.ended + total.left == run.added.total()


@given(st.lists(st.floats(0.01, 30.0), min_size=2, max_size=200))
def test_the_rate_lies_between_those_of_the_slowest_and_the_fastest_task(
    pauses: list[float],
) -> None:
    model = RunModel()
    model.tell([TasksAdded(0.0, 1, 1000, 1000), sent(0.0, 1, "slave 0", list(range(1000)))])
    at = 0.0
    for task, pause in enumerate(pauses):
        at += pause
        model.tell([done(at, 1, "slave 0", [task])])
        rate = model.rate_per_s(at)
        if rate is not None:
            assert 0.9 / max(pauses) <= rate <= 1.1 / min(pauses)
            assert model.left_s(at) == pytest.approx((1000 - task - 1) / rate)


def test_the_time_left_is_said_only_when_something_is_known() -> None:
    model = RunModel()
    assert model.left_s(0.0) is None
    model.tell([TasksAdded(0.0, 1, 10, 10), sent(0.0, 1, "slave 0", [0, 1, 2, 3])])
    assert model.left_s(100.0) is None
    model.tell([done(4.0, 1, "slave 0", [0])])
    assert model.left_s(4.0) is None
    model.tell([done(8.0, 1, "slave 0", [1])])
    assert model.left_s(8.0) == pytest.approx(8 * 4.0)


def test_the_time_left_is_that_of_the_context_that_takes_longest() -> None:
    model = RunModel()
    model.tell([TasksAdded(0.0, 1, 1000, 1000), TasksAdded(0.0, 2, 20, 20)])
    model.tell([sent(0.0, 1, "slave 0", [0]), done(10.0, 1, "slave 0", list(range(500)))])
    assert model.left_s(10.0) is None  # nobody knows how long the tasks of the other one take
    model.tell([sent(0.0, 2, "slave 1", [0]), done(10.0, 2, "slave 1", list(range(10)))])
    assert model.left_s(10.0) == pytest.approx(10.0)
    model.tell([done(20.0, 2, "slave 1", [11])])
    assert model.left_s(20.0) == pytest.approx(20.0)


def test_a_rate_is_that_of_the_last_minute() -> None:
    model = RunModel()
    model.tell([TasksAdded(0.0, 1, 10_000, 10_000), sent(0.0, 1, "slave 0", [0])])
    model.tell([done(float(at), 1, "slave 0", [at]) for at in range(1, 1000)])
    model.tell([done(1000.0 + at / 10, 1, "slave 0", [at]) for at in range(1, 1000)])
    assert model.rate_per_s(1099.9) == pytest.approx(10.0, rel=0.05)


def test_a_closed_context_keeps_nobody_waiting() -> None:
    model = RunModel()
    model.tell([TasksAdded(0.0, 1, 10, 10), done(1.0, 1, "slave 0", [0]), ContextDone(2.0, 1)])
    assert model.total().left == 0


def test_slaves_are_counted_by_what_they_do_with_the_reasons() -> None:
    model = RunModel()
    queued = [SlaveChanged(0.0, f"slave {index}", "queued", "Resources") for index in range(3)]
    model.tell(
        [*queued, SlaveChanged(0.0, "slave 3", "queued", "Priority"), working(0.0, "slave 4")]
    )
    assert model.slave_counts() == {Doing.WORKING: 1, Doing.QUEUED: 4}
    assert model.details(Doing.QUEUED) == [("Resources", 3), ("Priority", 1)]
    assert model.running == 1
    model.tell([SlaveChanged(1.0, "slave 4", "gone", "its host was switched off")])
    model.tell(
        [SlaveChanged(1.0, "slave 0", "gone", "not needed: there are fewer tasks than slaves")]
    )
    assert model.slave_counts() == {Doing.QUEUED: 3, Doing.NOT_NEEDED: 1, Doing.LOST: 1}
    model.tell([RunEnded(2.0)])
    assert model.slave_counts() == {Doing.NOT_NEEDED: 1, Doing.LOST: 1, Doing.ENDED: 3}


def test_the_last_errors_are_kept_and_no_more() -> None:
    model = RunModel()
    model.tell([ContextOpened(0.0, 1, "scoring")])
    model.tell([done(1.0, 1, "slave 0", [n], "raised", f"ValueError: {n}") for n in range(100)])
    model.tell([RunnerLost(2.0, "slave 1", "SIGSEGV", 1, 7, 1, 1.5, True)])
    texts = [text for _, text in model.last_errors]
    assert len(texts) == 20
    assert texts[-2:] == [
        "task 99 of scoring failed on slave 0: ValueError: 99",
        "slave 1 lost its process: SIGSEGV (at task 7 of scoring)",
    ]


def test_outcomes_that_were_missed_count_all_the_same() -> None:
    model = RunModel()
    model.tell([RunBegan(0.0, 1e9), TasksAdded(0.0, 1, 10, 10), EventsMissed(1.0, 3, 6)])
    assert (model.missed, model.total().done, model.total().left) == (3, 6, 4)
