"""A scheduler that also tells observers what it hears. Runs without observers have a plain one.

Observers are told what follows from what the scheduler hears, by the methods that it overrides,
and what the performer does about it, by the methods ``tell_…``.

What is told of tasks is told in batches, as the tasks come: to make an object for each of many
small tasks would take longer than to run them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from .._fleet.info import shown_state
from .._plugins.events import RunnerLost, SetupDone, SlaveChanged, TasksSent
from .._scheduler.actions import Deliver
from .._scheduler.scheduler import Scheduler
from .._scheduler.slaves import Phase, SetupItem
from .._scheduler.tasks import Ended, OutcomeKind, Task
from .first_lines import first_line, first_line_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._scheduler.actions import Action, SendTasks
    from .._scheduler.policy import Policy
    from .telling import Telling

_first_of = itemgetter(0)  # of an action: a Deliver's task, or the number of a slave or context
_RAN = frozenset({OutcomeKind.VALUE, OutcomeKind.RAISED})
_DIED = frozenset({OutcomeKind.LOST, OutcomeKind.MEMORY_EXCEEDED})


class Witness(Scheduler):
    """Decides as a Scheduler does, and tells observers.

    Args:
        policy: the scheduler's bounds.
        telling: tells them.
    """

    def __init__(self, policy: Policy, telling: Telling) -> None:
        super().__init__(policy)
        self.telling = telling
        self._later_attempts: dict[tuple[int, int], int] = {}
        """By slave and item: which attempt it is, if not the first."""
        self._shown: dict[int, tuple[str, str, str, int]] = {}

    # ---- what the scheduler hears

    def items_ended(self, slave: int, ended: Ended, now: float) -> list[Action]:
        """See Scheduler."""
        held = self._slaves[slave].items
        whats = list(map(held.get, ended.items))
        actions = super().items_ended(slave, ended, now)
        # nearly always: each item is a task, and has its outcome now
        delivered = list(map(_first_of, actions[: len(whats)]))
        if delivered == whats and whats and len(self._contexts) == 1:
            self._tell_ended(slave, ended, whats, now)  # type: ignore[arg-type]  # all are Tasks
        else:
            were = dict(zip(ended.items, whats, strict=True))
            self._tell_mixed(slave, ended, were, actions, now)
        if not held:
            self.tell_state(slave)
        return actions

    def items_returned(self, slave: int, items: list[int], now: float) -> list[Action]:
        """See Scheduler."""
        held = self._slaves[slave].items
        returned = [held[item] for item in items if item in held]
        actions = super().items_returned(slave, items, now)
        self.telling.returned(slave, returned, now)
        for item in items:
            self._later_attempts.pop((slave, item), None)
        if not held:
            self.tell_state(slave)
        return actions

    def runner_lost(self, slave: int, charged: int, cause: str, now: float) -> list[Action]:
        """See Scheduler."""
        if self._slaves[slave].phase is Phase.READY:  # else it has been replaced, as it should
            is_charged = charged > 0 and not self._slaves[slave].is_leaving
            self._tell_runner_lost(slave, cause, now, is_charged=is_charged)
        return super().runner_lost(slave, charged, cause, now)

    def memory_exceeded(
        self, slave: int, item: int, cause: str, peak_bytes: int, now: float
    ) -> list[Action]:
        """See Scheduler."""
        self._tell_runner_lost(slave, cause, now, is_charged=True)
        return super().memory_exceeded(slave, item, cause, peak_bytes, now)

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
        self.telling.closed(context, now)
        return actions

    # ---- what the engine does

    def tell_forgotten(self, context: int) -> None:
        """Some tasks of a context may get no outcome any more."""
        state = self._contexts.get(context)
        if state is not None:
            self.telling.unfinished(context, len(state.fresh) + state.running)

    def tell_sent(self, action: SendTasks) -> None:
        """Tasks are sent to a slave."""
        slave, sent, are_fresh = action
        first, last, count = sent[0][1].id, sent[-1][1].id, len(sent)
        tasks: Sequence[int] = range(first, last + 1)  # ids grow in the order of adding
        if not are_fresh or len(tasks) != count:
            tasks = tuple([task.id for _, task in sent])
        attempts: Sequence[int] = (1,) * count
        if not are_fresh:
            attempts = tuple([task.attempt for _, task in sent])
            self._later_attempts.update(
                ((slave, item), attempt)
                for (item, _), attempt in zip(sent, attempts, strict=True)
                if attempt > 1
            )
        context = sent[0][1].context
        now, name = time.monotonic(), self.telling.records[slave].name
        event = TasksSent(now, context, name, tasks, attempts)
        self.telling.say(event, count)
        self.tell_state(slave)

    def tell_delivered(self, arrived: Sequence[Deliver]) -> None:
        """Outcomes are delivered; here those are told of that no slave has written."""
        if arrived[0].outcome.kind in _RAN:
            return  # and so are all that follow from one event
        for outcome, some in groupby(arrived, itemgetter(1)):
            tasks = [task for task, _ in some]
            count, now = len(tasks), time.monotonic()
            attempts = (len(tasks[0].history) if outcome.kind in _DIED else 0,) * count
            durations_s, sizes = (0.0,) * count, (outcome.size_bytes,) * count
            peaks = (outcome.peak_memory_bytes,) * count
            self.telling.done(now, outcome, tasks, attempts, durations_s, sizes, peaks)

    def tell_state(self, slave: int) -> None:
        """A slave may be in another state."""
        record = self.telling.records[slave]
        life = record.life
        state, what = shown_state(life, next(iter(self._slaves[slave].items.values()), None))
        shown = state, life.detail, life.host, 0 if what is None else what.context
        if shown != self._shown.get(slave):
            self._shown[slave] = shown
            self.telling.say(SlaveChanged(time.monotonic(), record.name, *shown))

    # ---- how items end

    def _tell_ended(self, slave: int, ended: Ended, tasks: Sequence[Task], now: float) -> None:
        """Tell of tasks of one context that have ended in the same way."""
        attempts: Sequence[int] = (1,) * len(tasks)
        if self._later_attempts:
            attempts = tuple([self._attempt(slave, item) for item in ended.items])
        durations_s, sizes_bytes = tuple(ended.durations_s), tuple(ended.sizes_bytes)
        outcome, peaks_bytes = ended.outcomes[0], tuple(ended.peaks_bytes)
        self.telling.done(now, outcome, tasks, attempts, durations_s, sizes_bytes, peaks_bytes)

    def _tell_mixed(
        self,
        slave: int,
        ended: Ended,
        were: dict[int, Task | SetupItem | None],
        actions: Sequence[Action],
        now: float,
    ) -> None:
        """Tell of each item that has ended: what it was, or None if the slave had it no more."""
        with_outcome = {id(action.task) for action in actions if type(action) is Deliver}
        end = now - sum(ended.durations_s)
        for item, outcome, duration_s in zip(*ended[:3], strict=True):
            end += duration_s
            what = were.pop(item, None)  # an item ends once, whatever the slave says
            if isinstance(what, SetupItem):
                if self.telling.knows(what.context):
                    name, error = self.telling.records[slave].name, first_line_of(outcome)
                    event = SetupDone(end, what.context, name, end - duration_s, duration_s, error)
                    self.telling.say(event)
            elif isinstance(what, Task) and id(what) in with_outcome:
                self._tell_ended(slave, Ended.of((item, outcome, duration_s)), [what], end)
            elif what is not None:
                self.telling.returned(slave, [what], end)
                self._later_attempts.pop((slave, item), None)

    def _tell_runner_lost(self, slave: int, cause: str, now: float, *, is_charged: bool) -> None:
        state = self._slaves[slave]
        item, what = next(iter(state.items.items()), (0, None))
        context = 0 if what is None else what.context
        began_at = now if what is None else state.progress_at
        task, attempt = None, 0
        if isinstance(what, Task):
            task, attempt = what.id, self._attempt(slave, item)
        name, line = self.telling.records[slave].name, first_line(cause)
        self.telling.say(RunnerLost(now, name, line, context, task, attempt, began_at, is_charged))
        self._tell_all_returned(slave, now)

    def _tell_all_returned(self, slave: int, now: float) -> None:
        """A slave has lost all that it had."""
        held = self._slaves[slave].items
        self.telling.returned(slave, held.values(), now)
        for item in held:
            self._later_attempts.pop((slave, item), None)

    def _attempt(self, slave: int, item: int) -> int:
        return self._later_attempts.pop((slave, item), 1)
