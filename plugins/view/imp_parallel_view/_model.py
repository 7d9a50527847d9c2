"""What is known of a run from its events: contexts, slaves, counts, the rate.

It is pure: no clock, no thread, no output. Times come in with the events, or as arguments. What it
holds is bounded by the numbers of contexts and slaves, and not by that of tasks.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from imp_parallel_core import (
    ContextDone,
    ContextOpened,
    Event,
    EventsMissed,
    RunBegan,
    RunEnded,
    RunnerLost,
    SetupDone,
    SlaveChanged,
    TasksAdded,
    TasksDone,
    TasksForgotten,
    TasksSent,
)

from ._pace import Pace
from ._slaves import Doing, SlaveNow


@dataclass
class ContextCounts:
    """The tasks of one context, counted.

    Attributes:
        number: of the context.
        name: what people call it.
        added: how many tasks it has had; grows while the script adds some.
        done: how many of them have a value.
        failed: how many have an error.
        cancelled: how many were cancelled, or dropped.
        is_open: whether it can get more.
        pace: of its tasks.
    """

    number: int
    name: str = ""
    added: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    is_open: bool = True
    pace: Pace = field(default_factory=Pace, repr=False, compare=False)

    @property
    def ended(self) -> int:
        """How many tasks have their outcome, or get none."""
        return self.done + self.failed + self.cancelled

    @property
    def left(self) -> int:
        """How many tasks still get an outcome."""
        return max(self.added - self.ended, 0) if self.is_open else 0


class RunModel:
    """Follows a run by its events.

    Attributes:
        contexts: by their numbers, in the order in which they were opened.
        slaves: by their names, in the order in which they were added.
        last_errors: the last errors of tasks, set-ups and slaves, newest last: time and text.
        missed: how many events are missing, since the observer was too slow.
        unseen_tasks: how many tasks' outcomes were among these.
        began_at, ended_at: when the run began and ended; None as long as that is not known.
        wall_s: what the clock on the wall said at ``began_at``.
    """

    def __init__(self) -> None:
        self.contexts: dict[int, ContextCounts] = {}
        self.slaves: dict[str, SlaveNow] = {}
        self.last_errors: deque[tuple[float, str]] = deque(maxlen=20)
        self.missed = 0
        self.unseen_tasks = 0
        self.began_at: float | None = None
        self.ended_at: float | None = None
        self.wall_s = 0.0
        self.last_at = 0.0
        self._pace = Pace()

    def tell(self, events: Iterable[Event]) -> None:
        """Take note of events, in order."""
        for event in events:
            take = _TAKERS.get(type(event))
            if take is not None:  # (later versions may have others)
                take(self, event)
                self.last_at = event.at

    # ---- what is asked

    def total(self) -> ContextCounts:
        """Return the counts of all contexts together; outcomes that nobody has seen are done."""
        total = ContextCounts(0, is_open=any(each.is_open for each in self.contexts.values()))
        for each in self.contexts.values():
            total.added += each.ended + each.left  # nobody waits for what a closed context had
            total.done += each.done
            total.failed += each.failed
            total.cancelled += each.cancelled
        unseen = min(self.unseen_tasks, total.left)
        total.done += unseen
        return total

    def without_outcome(self) -> int:
        """Return how many tasks have neither a value nor an error: they wait, or get none."""
        total = self.total()
        added = sum(each.added for each in self.contexts.values())
        return max(added - total.done - total.failed, 0)

    @property
    def running(self) -> int:
        """How many tasks run now: one for each slave that works."""
        return sum(each.doing is Doing.WORKING for each in self.slaves.values())

    def slave_counts(self) -> dict[Doing, int]:
        """Return how many slaves are at what, in the order of the display; none is left out."""
        counts = Counter(each.doing for each in self.slaves.values())
        return {doing: counts[doing] for doing in Doing if counts[doing]}

    def details(self, doing: Doing) -> list[tuple[str, int]]:
        """Return what is said of the slaves that are at something, with how many, most first."""
        texts = (each.detail for each in self.slaves.values() if each.doing is doing)
        return Counter(text for text in texts if text).most_common()

    def rate_per_s(self, now: float) -> float | None:
        """Return how many tasks end in a second, by the last minute; None: too early to say."""
        return self._pace.per_s(now)

    def left_s(self, now: float) -> float | None:
        """Return how long the tasks take that have been added so far; None: it can't be said.

        Nothing comes any more once the run has ended. Tasks of different contexts may take very
        different times, so it can't be said as long as one that has tasks left has not got on.
        """
        longest = None
        if self.ended_at is not None:
            return None
        for each in self.contexts.values():
            if each.left:
                per_s = each.pace.per_s(now)
                if not per_s:
                    return None
                longest = max(longest or 0.0, each.left / per_s)
        return longest

    # ---- what is told

    def _run_began(self, event: RunBegan) -> None:
        self.began_at, self.wall_s = event.at, event.wall_s

    def _run_ended(self, event: RunEnded) -> None:
        self.ended_at = event.at
        for slave in self.slaves.values():
            slave.end()

    def _events_missed(self, event: EventsMissed) -> None:
        self.missed += event.count
        self.unseen_tasks += event.tasks

    def _context(self, number: int) -> ContextCounts:
        return self.contexts.setdefault(number, ContextCounts(number, f"context {number}"))

    def _slave(self, name: str) -> SlaveNow:
        slave = self.slaves.get(name)
        if slave is None:
            slave = self.slaves[name] = SlaveNow(name)
        return slave

    def _context_opened(self, event: ContextOpened) -> None:
        self._context(event.context).name = event.name or f"context {event.context}"

    def _context_done(self, event: ContextDone) -> None:
        self._context(event.context).is_open = False

    def _tasks_added(self, event: TasksAdded) -> None:
        self._context(event.context).added = event.total

    def _tasks_forgotten(self, event: TasksForgotten) -> None:
        self._context(event.context).cancelled += event.count

    def _tasks_sent(self, event: TasksSent) -> None:
        self._context(event.context).pace.begin(event.at)
        self._pace.begin(event.at)

    def _tasks_done(self, event: TasksDone) -> None:
        count = len(event.tasks)
        context = self._context(event.context)
        if event.outcome == "value":
            context.done += count
        elif event.outcome == "cancelled":
            context.cancelled += count
        else:
            context.failed += count
            self.last_errors.append((event.at, _task_error(context, event)))
        if event.slave:
            self._slave(event.slave).tasks_done += count
        context.pace.count(event.at, count)
        self._pace.count(event.at, count)

    def _setup_done(self, event: SetupDone) -> None:
        if event.error:
            name = self._context(event.context).name
            text = f"the set-up of {name} failed on {event.slave}: {event.error}"
            self.last_errors.append((event.at, text))

    def _runner_lost(self, event: RunnerLost) -> None:
        if event.context and not event.is_charged:
            return  # it was ended, since nobody needs what it was at
        self._slave(event.slave).runners_lost += 1
        name = self._context(event.context).name if event.context else ""
        at = f" (at task {event.task} of {name})" if event.task is not None else ""
        what = "" if event.slave in event.cause else f"{event.slave} lost its process: "
        self.last_errors.append((event.at, f"{what}{event.cause}{at}"))

    def _slave_changed(self, event: SlaveChanged) -> None:
        if self._slave(event.slave).change(event):
            self.last_errors.append((event.at, f"{event.slave} was lost: {event.detail}"))


def _task_error(context: ContextCounts, event: TasksDone) -> str:
    first = event.tasks[0]
    tasks = (
        f"task {first}" if len(event.tasks) == 1 else f"{len(event.tasks)} tasks from {first} on"
    )
    where = f" on {event.slave}" if event.slave and event.slave not in event.error else ""
    return f"{tasks} of {context.name} failed{where}: {event.error or event.outcome}"


_TAKERS: dict[type[Event], Callable[[RunModel, Any], None]] = {
    RunBegan: RunModel._run_began,
    RunEnded: RunModel._run_ended,
    EventsMissed: RunModel._events_missed,
    ContextOpened: RunModel._context_opened,
    ContextDone: RunModel._context_done,
    TasksAdded: RunModel._tasks_added,
    TasksForgotten: RunModel._tasks_forgotten,
    TasksSent: RunModel._tasks_sent,
    TasksDone: RunModel._tasks_done,
    SetupDone: RunModel._setup_done,
    RunnerLost: RunModel._runner_lost,
    SlaveChanged: RunModel._slave_changed,
}
