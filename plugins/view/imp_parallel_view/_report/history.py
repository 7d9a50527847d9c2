"""What a report needs to know of a run, taken from its events."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from imp_parallel_core import (
    ContextDone,
    Event,
    RunEnded,
    RunnerLost,
    SetupDone,
    SlaveChanged,
    TasksAdded,
    TasksDone,
    TasksForgotten,
    TasksReturned,
    TasksSent,
)

from .._model import RunModel
from .._slaves import Doing

OUTCOMES = (
    *("value", "raised", "lost", "memory exceeded", "set-up failed", "cancelled"),
    "another",
)
VALUE, CANCELLED = OUTCOMES.index("value"), OUTCOMES.index("cancelled")


class Span(NamedTuple):
    """A time in which a slave was at one thing."""

    begin: float
    end: float
    doing: Doing
    detail: str = ""
    context: int = 0


class Failure(NamedTuple):
    """Some tasks that failed in the same way, or a set-up, a slave or a process that did."""

    at: float
    what: str
    context: int
    slave: str
    tasks: tuple[int, ...]
    cause: str


class Tasks:
    """The outcomes of all tasks, in columns, in the order in which they came."""

    def __init__(self) -> None:
        self.context = array("Q")
        self.number = array("Q")
        self.slave = array("L")
        """An index into ``History.slaves``; the tasks of none have the last one, ``""``."""
        self.outcome = bytearray()
        self.attempt = array("Q")
        self.began = array("d")
        self.duration = array("d")
        self.result_bytes = array("Q")
        self.peak_bytes = array("Q")

    def __len__(self) -> int:
        return len(self.number)


class History:
    """Follows a run to its end.

    Attributes:
        model: what is known at the end.
        slaves: the names of the slaves, in order.
        tasks: the outcomes.
        spans: what each slave was at, by its name, one after the other.
        setups: the set-ups that have run.
        deaths: of the processes that run tasks.
        failures: what failed, in order.
        waiting: when tasks began to wait, or none waited any more: the time, and whether some do.
        first_added, last_added, last_done: when the first and the last tasks were added, and when
            the last outcome came; None if there was none.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.model = RunModel()
        self.tasks = Tasks()
        self.spans: dict[str, list[Span]] = defaultdict(list)
        self.setups: list[SetupDone] = []
        self.deaths: list[RunnerLost] = []
        self.failures: list[Failure] = []
        self.waiting: list[tuple[float, bool]] = []
        self.first_added: float | None = None
        self.last_added: float | None = None
        self.last_done: float | None = None
        self._waits: dict[int, int] = defaultdict(int)
        self._sent_tasks: dict[tuple[int, int], int] = {}
        self._indices: dict[str, int] = {}
        self._now: dict[str, SlaveChanged] = {}
        self._began: float | None = None
        for event in events:
            self._take(event)
        self._finish()

    @property
    def began_at(self) -> float:
        """When the run began."""
        return self._began or 0.0

    @property
    def ended_at(self) -> float:
        """When the run ended, or when the record ends."""
        return max(self.model.last_at, self.began_at)

    @property
    def slaves(self) -> list[str]:
        """The names of the slaves, by the indices that tasks have."""
        return list(self._indices)

    def slave_index(self, name: str) -> int:
        """Return the index of a slave."""
        return self._indices.setdefault(name, len(self._indices))

    # ---- what is told

    def _take(self, event: Event) -> None:
        if self._began is None:
            self._began = event.at
        self.model.tell([event])
        match event:
            case TasksDone():
                self._tasks_done(event)
            case TasksSent():
                self._wait(event.at, event.context, -self._sent(event))
            case TasksReturned():
                self._wait(event.at, event.context, self._returned(event))
            case TasksAdded():
                self.last_added = event.at
                if self.first_added is None:
                    self.first_added = event.at
                self._wait(event.at, event.context, event.count)
            case TasksForgotten():
                self._wait(event.at, event.context, -event.count)
            case ContextDone():
                self._wait(event.at, event.context, -self._waits[event.context])
            case SlaveChanged():
                self._slave_changed(event)
            case SetupDone():
                self.setups.append(event)
                if event.error:
                    self._fail(event.at, "set-up", event.context, event.slave, (), event.error)
            case RunnerLost() if event.is_charged or not event.context:
                self.deaths.append(event)
                tasks = () if event.task is None else (event.task,)
                what = "process of a slave"
                self._fail(event.at, what, event.context, event.slave, tasks, event.cause)
            case RunEnded():
                self._end_spans(event.at)

    def _fail(
        self, at: float, what: str, context: int, slave: str, tasks: tuple[int, ...], cause: str
    ) -> None:
        self.failures.append(Failure(at, what, context, slave, tasks, cause or "it is not known"))

    def _wait(self, at: float, context: int, more: int) -> None:
        self._waits[context] = max(self._waits[context] + more, 0)
        is_waiting = any(self._waits.values())
        if not self.waiting or self.waiting[-1][1] is not is_waiting:
            self.waiting.append((at, is_waiting))

    def _sent(self, event: TasksSent) -> int:
        """Return how many tasks wait less: a task may be at two slaves, if one is not heard."""
        before = len(self._sent_tasks)
        for task in event.tasks:
            place = event.context, task
            self._sent_tasks[place] = self._sent_tasks.get(place, 0) + 1
        return len(self._sent_tasks) - before

    def _returned(self, event: TasksReturned) -> int:
        """Return how many tasks wait more."""
        before = len(self._sent_tasks)
        for task in event.tasks:
            place = event.context, task
            if self._sent_tasks.get(place, 0) > 1:
                self._sent_tasks[place] -= 1
            else:
                self._sent_tasks.pop(place, None)
        return before - len(self._sent_tasks)

    def _tasks_done(self, event: TasksDone) -> None:
        never_sent = [self._sent_tasks.pop((event.context, task), 0) for task in event.tasks].count(
            0
        )
        self._wait(event.at, event.context, -never_sent)
        tasks, count = self.tasks, len(event)
        outcome = OUTCOMES.index(event.outcome) if event.outcome in OUTCOMES else len(OUTCOMES) - 1
        tasks.context.extend([event.context] * count)
        tasks.number.extend(event.tasks)
        tasks.slave.extend([self.slave_index(event.slave)] * count)
        tasks.outcome.extend([outcome] * count)
        tasks.attempt.extend(event.attempts)
        tasks.began.extend(event.began_at)
        tasks.duration.extend(event.durations_s)
        tasks.result_bytes.extend(event.result_bytes)
        tasks.peak_bytes.extend(event.peak_memory_bytes)
        self.last_done = event.at
        if outcome not in (VALUE, CANCELLED):
            cause = event.error or event.outcome
            self._fail(event.at, "task", event.context, event.slave, tuple(event.tasks), cause)

    def _slave_changed(self, event: SlaveChanged) -> None:
        self.slave_index(event.slave)
        self._close_span(event.slave, event.at)
        self._now[event.slave] = event
        if self.model.slaves[event.slave].doing is Doing.LOST:
            self._fail(event.at, "slave", 0, event.slave, (), event.detail)

    def _close_span(self, slave: str, at: float) -> None:
        before = self._now.get(slave)
        if before is not None:
            doing = _doing(before)
            spans = self.spans[slave]
            if (
                spans
                and spans[-1].doing is doing
                and spans[-1][3:]
                == (
                    before.detail,
                    before.context,
                )
            ):
                spans[-1] = spans[-1]._replace(end=at)
            elif at > before.at or doing in (Doing.LOST, Doing.NOT_NEEDED):
                spans.append(Span(before.at, at, doing, before.detail, before.context))

    def _end_spans(self, at: float) -> None:
        for slave in self._now:
            self._close_span(slave, at)
        self._now.clear()

    def _finish(self) -> None:
        self._end_spans(self.ended_at)


def _doing(event: SlaveChanged) -> Doing:
    model = RunModel()
    model.tell([event])
    return model.slaves[event.slave].doing
