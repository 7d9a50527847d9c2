"""What observers are told of contexts and their tasks, in the order in which it happens.

The engine's thread alone calls this, but for the first event and the last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from .._plugins.events import (
    ContextDone,
    ContextOpened,
    RunBegan,
    RunEnded,
    TasksAdded,
    TasksDone,
    TasksForgotten,
    TasksReturned,
)
from .._scheduler.tasks import NO_SLAVE, Task
from .first_lines import first_line_of

if TYPE_CHECKING:
    from .._fleet.record import SlaveRecord
    from .._plugins.events import Event
    from .._scheduler.slaves import SetupItem
    from .._scheduler.tasks import Outcome
    from .observers import Observers
    from .served_context import ServedContext

_context_of = attrgetter("context")
_ADDED_S = 0.02  # for so long, tasks that are added one by one are told together


class Telling:
    """Tells observers.

    Args:
        observers: who is told.
    """

    records: Mapping[int, SlaveRecord]  # the fleet's, which is made later
    call_at: Callable[[float, Callable[[], None]], None]  # the loop's, likewise

    def __init__(self, observers: Observers) -> None:
        self._tell = observers.tell
        self._unfinished: dict[int, int] = {}
        """For each context that was told: how many of its tasks have no outcome that was told."""
        self._added: tuple[int, int, int] | None = None
        """Tasks that were added and have not been told: context, count and total."""
        self._will_say_added = False
        self._tell(RunBegan(time.monotonic(), time.time()))

    def say(self, event: Event, tasks: int = 0, outcomes: int = 0) -> None:
        """Tell of an event, as Observers do, after what has happened before."""
        if self._added is not None:
            self.say_added()
        self._tell(event, tasks, outcomes)

    def run_ended(self) -> None:
        """All has ended."""
        self.say(RunEnded(time.monotonic()))

    # ---- contexts

    def knows(self, context: int) -> bool:
        """Return whether a context was told, and has not been closed."""
        return context in self._unfinished

    def opened(self, context: ServedContext) -> None:
        """A context has a name."""
        self._unfinished[context.id] = 0
        self.say(ContextOpened(time.monotonic(), context.id, context.name))

    def closed(self, context: int, now: float) -> None:
        """A context was closed."""
        if self._unfinished.pop(context, None) is not None:
            self.say(ContextDone(now, context))

    def added(self, context: ServedContext, count: int) -> None:
        """Tasks have been added to a context, and have their numbers."""
        if context.id not in self._unfinished:
            self.opened(context)
        self._unfinished[context.id] += count
        if self._added is not None:
            if self._added[0] == context.id:
                count += self._added[1]
            else:
                self.say_added()
        self._added = context.id, count, context.tasks
        if not self._will_say_added:
            self._will_say_added = True
            self.call_at(time.monotonic() + _ADDED_S, self._added_due)

    def _added_due(self) -> None:
        self._will_say_added = False
        self.say_added()

    def say_added(self) -> None:
        """Tell of the tasks that were added."""
        added, self._added = self._added, None
        if added is not None:
            self._tell(TasksAdded(time.monotonic(), *added))

    def unfinished(self, context: int, count: int) -> None:
        """No more than so many tasks of a context may still get an outcome."""
        forgotten = self._unfinished.get(context, 0) - count
        if forgotten > 0:
            self._unfinished[context] = count
            self.say(TasksForgotten(time.monotonic(), context, forgotten))

    # ---- tasks

    def done(
        self,
        at: float,
        outcome: Outcome,
        tasks: Sequence[Task],
        attempts: Sequence[int],
        durations_s: Sequence[float],
        sizes: Sequence[int],
        peaks_bytes: Sequence[int],
    ) -> None:
        """Tasks of one context have outcomes, of which this is one: they differ in nothing else."""
        count, context = len(tasks), tasks[0].context
        if context not in self._unfinished:
            return  # closed: nobody asks for them
        self._unfinished[context] -= count
        event = TasksDone(
            at,
            context,
            "" if outcome.slave == NO_SLAVE else self.records[outcome.slave].name,
            outcome.kind.value,
            first_line_of(outcome),
            tuple([task.id for task in tasks]),
            attempts,
            durations_s,
            sizes,
            peaks_bytes,
        )
        self.say(event, count, count)

    def returned(self, slave: int, items: Iterable[Task | SetupItem], now: float) -> None:
        """A slave does not have these items any more."""
        tasks = [what for what in items if isinstance(what, Task)]
        for context, some in groupby(tasks, _context_of):
            if context in self._unfinished:
                numbers = tuple([task.id for task in some])
                event = TasksReturned(now, context, self.records[slave].name, numbers)
                self.say(event, len(numbers))
