"""The events that observers get: what happens in a run, so that it can be rebuilt from them alone.

Tasks come in batches: what is told of many tasks at once costs the run little, and an observer that
only counts takes ``len(event)``. An event about a context comes after its :class:`ContextOpened`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple


@dataclass(frozen=True)
class Event:
    """Something that has happened.

    Attributes:
        at: when the master knew, in monotonic seconds of the master. :class:`RunBegan` says what
            its clock on the wall said then.
    """

    at: float


# ---- the run


@dataclass(frozen=True)
class RunBegan(Event):
    """A Manager has been made; the first event of all.

    The time of day of another event is ``began.wall_s + (event.at - began.at)``.

    Attributes:
        wall_s: the time of day at ``at``, in seconds since 1970 (``time.time()``).
    """

    wall_s: float


@dataclass(frozen=True)
class RunEnded(Event):
    """The Manager has been closed; the last event of all."""


@dataclass(frozen=True)
class EventsMissed(Event):
    """This observer was too slow: events were left out here, for this observer alone.

    Attributes:
        count: how many.
        tasks: how many tasks' outcomes were in them.
    """

    count: int
    tasks: int = 0


# ---- slaves


@dataclass(frozen=True)
class SlaveChanged(Event):
    """A slave is in another state now, or its detail is another, or it works for another context.

    Attributes:
        slave: its name, such as ``"slave 3"``.
        state: see SlaveInfo.state. It is "working" from its first task until it has none left.
        detail: more about the state: a batch system's reason, how the slave was lost.
        host: the name of its machine; "" before it has connected.
        context: which context it works for, or sets up; 0 for none.
    """

    slave: str
    state: str
    detail: str = ""
    host: str = ""
    context: int = 0


@dataclass(frozen=True)
class RunnerLost(Event):
    """The process that runs a slave's tasks has ended; the slave starts another.

    What the slave had left to do is in the :class:`TasksReturned` that follow.

    Attributes:
        slave: its name.
        cause: how the process ended, in one line.
        context: the context of the task, or set-up, that the process was at; 0 for none.
        task: the task's number; None for a set-up, or for none.
        attempt: which attempt of the task it was; 0 without a task.
        began_at: when that began, as well as can be told; equal to ``at`` if it was at nothing.
        is_charged: whether this counts as a failed attempt: the task is tried again, or has its
            outcome in a :class:`TasksDone`. It does not if the process was ended because nobody
            needs the task any more.
    """

    slave: str
    cause: str
    context: int
    task: int | None
    attempt: int
    began_at: float
    is_charged: bool


# ---- contexts


@dataclass(frozen=True)
class ContextOpened(Event):
    """A context is used: it has a name, or the first task has been added to it.

    Attributes:
        context: its number, from 1.
        name: that of ``get_context(name=…)``; otherwise the qualified name of the set-up, or, if
            there is none, of the first task's function or class.
    """

    context: int
    name: str


@dataclass(frozen=True)
class TasksAdded(Event):
    """Tasks have been added to a context.

    Attributes:
        context: its number.
        count: how many. Their numbers follow those of the tasks before.
        total: how many have been added to the context so far. The last one has the number
            ``total - 1``.
    """

    context: int
    count: int
    total: int


@dataclass(frozen=True)
class TasksForgotten(Event):
    """Tasks of a context get no outcome any more: the script has dropped them, or too many failed.

    Those that slaves are at may still run to their end. The tasks of a context that is closed are
    dropped without this event.

    Attributes:
        context: its number.
        count: how many tasks.
    """

    context: int
    count: int


@dataclass(frozen=True)
class SetupDone(Event):
    """A slave has run a context's set-up.

    Attributes:
        context: its number.
        slave: the slave's name.
        began_at: when the set-up began, as for :class:`TaskDone`.
        duration_s: how long it took.
        error: the first line of its error; "" if it succeeded.
    """

    context: int
    slave: str
    began_at: float
    duration_s: float
    error: str = ""


@dataclass(frozen=True)
class ContextDone(Event):
    """A context was closed."""

    context: int


# ---- tasks


@dataclass(frozen=True)
class TasksSent(Event):
    """Tasks were sent to a slave, which runs one after the other, behind those that it has.

    Attributes:
        context: the context's number.
        slave: the slave's name.
        tasks: their numbers in the context, in the order in which they will run.
        attempts: which attempt of each task this is, from 1.
    """

    context: int
    slave: str
    tasks: Sequence[int]
    attempts: Sequence[int]

    def __len__(self) -> int:
        return len(self.tasks)


@dataclass(frozen=True)
class TasksReturned(Event):
    """A slave does not have tasks any more that it was sent, and they have no outcome by it.

    They were taken back before they began, were lost with the process that ran them, or were ended
    because nobody needs them any more.

    Attributes:
        context: the context's number.
        slave: the slave's name.
        tasks: their numbers in the context.
    """

    context: int
    slave: str
    tasks: Sequence[int]

    def __len__(self) -> int:
        return len(self.tasks)


class TaskDone(NamedTuple):
    """One task of a :class:`TasksDone`.

    Attributes:
        at: when the master had the outcome, in its monotonic seconds.
        context: the context's number.
        task: its number in the context, in the order of adding.
        slave: the name of the slave; "" if the task ended on none.
        outcome: "value", "raised", "lost", "memory exceeded", "set-up failed" or "cancelled".
        attempt: which attempt it was that ended so, from 1; 0 if the task ended on no slave.
        began_at: when that attempt began on the slave, in monotonic seconds of the master: as well
            as can be told from when the outcome came, so it may be late by the time that the
            outcome was on its way. Equal to ``at`` if the task did not run to an end.
        duration_s: how long the attempt ran on the slave; 0.0 if it did not run to an end.
        result_bytes: the size of its value, or of its error; 0 if it has none.
        peak_memory_bytes: the most memory that its process held since the task before; of a task
            that exceeded its limit, what that held together with its children. 0 if that was not
            measured, as for tasks that take less than 10 ms. Where the system can't begin anew
            with its count (not Linux), it is the most since the process began.
        error: the first line of its error; "" for a value, and for a task that was cancelled.
    """

    at: float
    context: int
    task: int
    slave: str
    outcome: str
    attempt: int
    began_at: float
    duration_s: float
    result_bytes: int
    peak_memory_bytes: int
    error: str


@dataclass(frozen=True)
class TasksDone(Event):
    """Tasks of a context have their outcomes, which came together from one slave.

    Iterate over it for a :class:`TaskDone` of each; ``len(event)`` is how many there are. An
    observer that must be fast takes the columns as they are, which have an entry for each task.

    A slave runs its tasks one after the other, but its small values come by another way than its
    other outcomes. So a task that raised may be told of shortly before or after its neighbours.

    Attributes:
        context: the context's number.
        slave: the slave's name; "" if the tasks ended on none.
        outcome: how all of them ended, see :class:`TaskDone`.
        error: the first line of their error, likewise.
        tasks: their numbers, in the order in which they ended.
        attempts: which attempt of each it was, see :class:`TaskDone`.
        durations_s: how long each took, in seconds, likewise.
        result_bytes: how large the result of each is, in bytes, likewise.
        peak_memory_bytes: the most that the process of each has held, in bytes, likewise.
    """

    context: int
    slave: str
    outcome: str
    error: str
    tasks: Sequence[int]
    attempts: Sequence[int]
    durations_s: Sequence[float]
    result_bytes: Sequence[int]
    peak_memory_bytes: Sequence[int]

    @property
    def began_at(self) -> list[float]:
        """When each began: the last one ended at ``at``, and each before ended as that began."""
        times = accumulate(reversed(self.durations_s), lambda end, s: end - s, initial=self.at)
        return list(times)[:0:-1]

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[TaskDone]:
        columns = (
            self.tasks,
            self.attempts,
            self.began_at,
            self.durations_s,
            self.result_bytes,
            self.peak_memory_bytes,
        )
        for task, attempt, began_at, duration_s, size, peak in zip(*columns, strict=True):
            yield TaskDone(
                self.at,
                self.context,
                task,
                self.slave,
                self.outcome,
                attempt,
                began_at,
                duration_s,
                size,
                peak,
                self.error,
            )
