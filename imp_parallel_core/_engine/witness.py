"""A scheduler that also tells observers what it hears. Runs without observers have a plain one.

Observers are told what follows from what the scheduler hears, by the methods that it overrides,
and what the engine does about it, by the methods ``tell_…``, which the engine and the performer
call. All of that happens in the engine's thread, but for the first event and the last.

What is told of tasks is told in batches, as the tasks come: to make an object for each of many
small tasks would take longer than to run them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from .._fleet.info import shown_state
from .._plugins.events import (
    ContextDone,
    ContextOpened,
    RunBegan,
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
from .._scheduler.scheduler import Scheduler
from .._scheduler.slaves import SetupItem
from .._scheduler.tasks import NO_SLAVE, OutcomeKind, Task
from .first_lines import first_line, first_line_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._fleet.record import SlaveRecord
    from .._scheduler.actions import Action, Deliver, SendTasks
    from .._scheduler.policy import Policy
    from .._scheduler.tasks import Outcome
    from .observers import Observers
    from .served_context import ServedContext

    Ended = tuple[int, Outcome, float]

_RAN = frozenset({OutcomeKind.VALUE, OutcomeKind.RAISED})
_context_of = attrgetter("context")


class Witness(Scheduler):
    """Decides as a Scheduler does, and tells observers.

    Args:
        policy: the scheduler's bounds.
        observers: who is told.
    """

    records: Mapping[int, SlaveRecord]  # the fleet's, which needs the scheduler in its turn

    def __init__(self, policy: Policy, observers: Observers) -> None:
        super().__init__(policy)
        self._tell = observers.tell
        self._unfinished: dict[int, int] = {}
        """For each context that was told: how many of its tasks have no outcome that was told."""
        self._later_attempts: dict[tuple[int, int], int] = {}
        """By slave and item: which attempt it is, if not the first."""
        self._shown: dict[int, tuple[str, str, str, int]] = {}
        self._tell(RunBegan(time.monotonic(), time.time()))

    # ---- what the scheduler hears

    def items_ended(self, slave: int, ended: Sequence[Ended], now: float) -> list[Action]:
        """See Scheduler."""
        held = self._slaves[slave].items
        whats = [held.get(item) for item, _, _ in ended]
        are_open = [type(what) is Task and not what.done for what in whats]
        actions = super().items_ended(slave, ended, now)
        contexts = {what.context for what in whats if what is not None}
        if len(contexts) == 1 and len(ended) > 1 and all(are_open):
            self._tell_ended(slave, ended, whats, now)  # type: ignore[arg-type]  # all are tasks
        else:
            self._tell_mixed(slave, ended, whats, are_open, now)
        if not held:
            self.tell_state(slave)
        return actions

    def items_returned(self, slave: int, items: list[int], now: float) -> list[Action]:
        """See Scheduler."""
        held = self._slaves[slave].items
        returned = [held[item] for item in items if item in held]
        actions = super().items_returned(slave, items, now)
        self._tell_returned(slave, returned, now)
        for item in items:
            self._later_attempts.pop((slave, item), None)
        if not held:
            self.tell_state(slave)
        return actions

    def runner_lost(self, slave: int, charged: int, cause: str, now: float) -> list[Action]:
        """See Scheduler."""
        state = self._slaves[slave]
        item, what = next(iter(state.items.items()), (0, None))
        context = 0 if what is None else what.context
        began_at = now if what is None else state.progress_at
        task, attempt = None, 0
        if isinstance(what, Task):
            task, attempt = what.id, self._attempt(slave, item)
        name, line = self.records[slave].name, first_line(cause)
        is_charged = charged > 0 and not state.is_leaving
        self._tell(RunnerLost(now, name, line, context, task, attempt, began_at, is_charged))
        self._tell_all_returned(slave, now)
        return super().runner_lost(slave, charged, cause, now)

    def slave_restarted(self, slave: int, cause: str, now: float) -> list[Action]:
        """See Scheduler."""
        self._tell_all_returned(slave, now)
        return super().slave_restarted(slave, cause, now)

    def slave_lost(self, slave: int, is_charged: bool, cause: str, now: float) -> list[Action]:
        """See Scheduler."""
        self._tell_all_returned(slave, now)
        return super().slave_lost(slave, is_charged, cause, now)

    def tasks_forgotten(
        self, context: int, are_forgotten: Callable[[Task], bool], now: float
    ) -> list[Action]:
        """See Scheduler."""
        actions = super().tasks_forgotten(context, are_forgotten, now)
        self.tell_forgotten(context)
        return actions

    def context_closed(self, context: int, now: float) -> list[Action]:
        """See Scheduler."""
        actions = super().context_closed(context, now)
        if self._unfinished.pop(context, None) is not None:
            self._tell(ContextDone(now, context))
        return actions

    # ---- what the engine does

    def tell_opened(self, context: ServedContext) -> None:
        """A context has a name."""
        self._unfinished[context.id] = 0
        self._tell(ContextOpened(time.monotonic(), context.id, context.name))

    def tell_added(self, context: ServedContext, count: int) -> None:
        """Tasks have been added to a context, and have their numbers."""
        if context.id not in self._unfinished:
            self.tell_opened(context)
        self._unfinished[context.id] += count
        self._tell(TasksAdded(time.monotonic(), context.id, count, context.tasks))

    def tell_forgotten(self, context: int) -> None:
        """Some tasks of a context may get no outcome any more."""
        state, unfinished = self._contexts.get(context), self._unfinished.get(context, 0)
        if state is not None:
            forgotten = unfinished - len(state.fresh) - state.running
            if forgotten > 0:
                self._unfinished[context] -= forgotten
                self._tell(TasksForgotten(time.monotonic(), context, forgotten))

    def tell_sent(self, action: SendTasks) -> None:
        """Tasks are sent to a slave."""
        slave, sent, are_fresh = action
        tasks = tuple([task.id for _, task in sent])
        attempts: Sequence[int] = (1,) * len(tasks)
        if not are_fresh:
            attempts = tuple([task.attempt for _, task in sent])
            self._later_attempts.update(
                ((slave, item), attempt)
                for (item, _), attempt in zip(sent, attempts, strict=True)
                if attempt > 1
            )
        context = sent[0][1].context
        event = TasksSent(time.monotonic(), context, self.records[slave].name, tasks, attempts)
        self._tell(event, len(tasks))
        self.tell_state(slave)

    def tell_delivered(self, arrived: Iterable[Deliver]) -> None:
        """Outcomes are delivered; here those are told of that no slave has written."""
        for outcome, some in groupby(arrived, itemgetter(1)):
            if outcome.kind in _RAN:
                continue
            tasks = [task for task, _ in some]
            attempt = len(outcome.content) if outcome.kind is OutcomeKind.LOST else 0
            self._tell_done(
                time.monotonic(), outcome, tasks, (attempt,) * len(tasks), (0.0,) * len(tasks)
            )

    def tell_state(self, slave: int) -> None:
        """A slave may be in another state."""
        record = self.records[slave]
        life = record.life
        state, what = shown_state(life, next(iter(self._slaves[slave].items.values()), None))
        shown = state, life.detail, life.host, 0 if what is None else what.context
        if shown != self._shown.get(slave):
            self._shown[slave] = shown
            self._tell(SlaveChanged(time.monotonic(), record.name, *shown))

    def tell_ended(self) -> None:
        """All has ended."""
        self._tell(RunEnded(time.monotonic()))

    # ---- how items end

    def _tell_ended(
        self, slave: int, ended: Sequence[Ended], tasks: Sequence[Task], now: float
    ) -> None:
        """Tell of tasks of one context that have ended in the same way."""
        attempts: Sequence[int] = (1,) * len(ended)
        if self._later_attempts:
            attempts = tuple([self._attempt(slave, item) for item, _, _ in ended])
        self._tell_done(
            now,
            ended[0][1],
            tasks,
            attempts,
            tuple([duration_s for _, _, duration_s in ended]),
            tuple([outcome.size_bytes for _, outcome, _ in ended]),
        )

    def _tell_done(
        self,
        at: float,
        outcome: Outcome,
        tasks: Sequence[Task],
        attempts: Sequence[int],
        durations_s: Sequence[float],
        sizes: Sequence[int] = (),
    ) -> None:
        """Tell of the outcomes of tasks, which differ in nothing else."""
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
            sizes or (0,) * count,
            (0,) * count,
        )
        self._tell(event, count, count)

    def _tell_mixed(
        self,
        slave: int,
        ended: Sequence[Ended],
        whats: Sequence[Task | SetupItem | None],
        are_open: Sequence[bool],
        now: float,
    ) -> None:
        """Tell of each item that has ended."""
        end = now - sum([duration_s for _, _, duration_s in ended])
        for one, what, is_open in zip(ended, whats, are_open, strict=True):
            item, outcome, duration_s = one
            end += duration_s
            if isinstance(what, SetupItem):
                if what.context in self._unfinished:
                    name, error = self.records[slave].name, first_line_of(outcome)
                    event = SetupDone(end, what.context, name, end - duration_s, duration_s, error)
                    self._tell(event)
            elif what is not None and is_open and what.done:
                self._tell_ended(slave, [one], [what], end)
            elif what is not None:
                self._tell_returned(slave, [what], end)
            self._later_attempts.pop((slave, item), None)

    def _tell_returned(self, slave: int, items: Iterable[Task | SetupItem], now: float) -> None:
        """Tell which tasks a slave does not have any more."""
        tasks = [what for what in items if isinstance(what, Task)]
        for context, some in groupby(tasks, _context_of):
            if context in self._unfinished:
                numbers = tuple([task.id for task in some])
                event = TasksReturned(now, context, self.records[slave].name, numbers)
                self._tell(event, len(numbers))

    def _tell_all_returned(self, slave: int, now: float) -> None:
        """A slave has lost all that it had."""
        held = self._slaves[slave].items
        self._tell_returned(slave, held.values(), now)
        for item in held:
            self._later_attempts.pop((slave, item), None)

    def _attempt(self, slave: int, item: int) -> int:
        return self._later_attempts.get((slave, item), 1)
