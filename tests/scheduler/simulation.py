"""A cluster simulated event by event, from a seed: the same seed gives the same run."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable, Collection
from itertools import count
from typing import Any

from imp_parallel_core._scheduler.actions import (
    Action,
    Deliver,
    EndAttempt,
    GiveUp,
    NextRunner,
    Relaunch,
    SendSetup,
    SendTasks,
    TakeBack,
    TooManyFailures,
)
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._scheduler.tasks import Outcome, OutcomeKind, Task

WIRE_S = 0.0002
SETUP_S = 1.0
RESTART_S = 2.0
RELAUNCH_S = 30.0
SILENCE_S = 40.0
PATIENCE_S = 30.0
LOOKED_AT = 20  # one of so many slaves is looked at all the time; one that grows deaf is, too
BATCH = 20_000  # tasks are added so many at a time
READ = 500  # outcomes are read so many at a time
CANCEL_EVERY = 50  # one of so many tasks is cancelled, unless it is done before
CANCEL_S = 20.0  # in the mean
POISON = 9973  # every task whose id is a multiple of this kills its runner

P_RUNNER_DIES = 0.001  # for each item
P_SLAVE_DIES = 0.0003
P_SLAVE_IS_CUT_OFF = 0.0002
P_SLAVE_GROWS_DEAF = 0.0001  # is heard, and does nothing more
P_TASK_IS_LONG = 0.002  # … and holds up those that were sent ahead
LONG_S = 5.0


class SimulatedSlave:
    """A slave whose first item ends at a time that is known when it begins."""

    __slots__ = ("generation", "id", "is_cut_off", "is_deaf", "items")

    def __init__(self, id: int) -> None:
        self.id = id
        self.generation = 0  # what was planned for an earlier process or runner is void
        self.is_cut_off = False
        self.is_deaf = False
        self.items: deque[tuple[int, int | Task]] = deque()


class Simulation:
    """Slaves that set up, run, die and come back, and a user who adds and reads.

    Args:
        seed: of the dice.
        slaves: how many.
        tasks: how many.
        bad: slaves on whose machines each task dies at once.
    """

    def __init__(self, seed: int, slaves: int, tasks: int, bad: Collection[int] = ()) -> None:
        self.bad = frozenset(bad)
        self.begun_on_bad = 0
        self.dice = random.Random(seed)
        self.now = 0.0
        self.scheduler = Scheduler()
        self.deliveries = bytearray(1 + tasks)  # by the task's id; ids begin with 1
        self.lost: list[int] = []
        self.grown_deaf = self.given_up = self.cancelled = 0
        self._missing = tasks
        self.digest = hashlib.sha256()
        self.events = 0
        self._heap: list[tuple[float, int, Any, tuple[Any, ...]]] = []
        self._numbers = count()
        self._tick_at: float | None = None
        self._unread = [0, 0]
        self._to_add = tasks
        self._next_id = count(1)
        # one context of long tasks and one of short tasks, which are sent ahead
        self._mean_s = (10.0, 0.0005)
        self.slaves = [self._new_slave(id) for id in range(slaves)]
        for context in range(len(self._mean_s)):
            self.scheduler.context_opened(context)
        for slave in self.slaves:
            self.scheduler.slave_added(slave.id, relaunchable=True)
            self._launch(slave)

    def run(self) -> None:
        """Run until nothing is left to happen."""
        self._add()
        while self._heap:
            self._step()

    def _step(self) -> None:
        self.now, _, happens, arguments = heapq.heappop(self._heap)
        self.events += 1
        happens(*arguments)
        self._plan_tick()

    # ---- the user

    def _add(self) -> None:
        number = min(BATCH, self._to_add)
        self._to_add -= number
        contexts = self.dice.choices(range(len(self._mean_s)), weights=(3, 7), k=number)
        tasks = [Task(context, (), id=next(self._next_id)) for context in contexts]
        self._perform(self.scheduler.tasks_added(tasks, self.now))
        for task in tasks[CANCEL_EVERY - 1 :: CANCEL_EVERY]:
            if task.id % POISON:
                self._later(self.dice.expovariate(1 / CANCEL_S), self._cancel, task)
        if self._to_add:
            self._later(0.5, self._add)

    def _cancel(self, task: Task) -> None:
        self._perform(self.scheduler.tasks_cancelled(task.context, [task], self.now))

    def _delivered(self, task: Task, outcome: Outcome) -> None:
        self.deliveries[task.id] += 1
        self._missing -= 1
        if outcome.kind is OutcomeKind.LOST:
            self.lost.append(task.id)
        self.cancelled += outcome.kind is OutcomeKind.CANCELLED
        self.digest.update(b"%d %d;" % (task.id, outcome.slave))
        self._unread[task.context] += 1
        if self._unread[task.context] == READ:
            self._unread[task.context] = 0
            self._later(0.0, self._read, task.context)

    def _read(self, context: int) -> None:
        self._perform(self.scheduler.outcomes_read(context, READ, 0, self.now))

    # ---- slaves

    def _new_slave(self, id: int) -> Any:
        return SimulatedSlave(id)

    def _launch(self, slave: Any) -> None:
        self._later(self.dice.uniform(0.0, 5.0), self._runner_starts, slave, slave.generation)
        if slave.id % LOOKED_AT == 0:
            self._later(PATIENCE_S / 4, self._look_at, slave)

    def _runner_starts(self, slave: SimulatedSlave, generation: int) -> None:
        if generation == slave.generation:
            self._perform(self.scheduler.runner_ready(slave.id, self.now))

    def _begin_first(self, slave: SimulatedSlave) -> None:
        """Cast the dice for what will become of the item that runs now."""
        what = slave.items[0][1]
        if not isinstance(what, Task):
            self._later(SETUP_S, self._item_ends, slave, slave.generation, SETUP_S)
            return
        if slave.id in self.bad:
            self.begun_on_bad += 1
            self._later(0.0, self._runner_dies, slave, slave.generation, 0.0)
            return
        duration_s = self.dice.expovariate(1.0 / self._mean_s[what.context])
        happens: Any = self._item_ends
        dice = self.dice.random()
        if what.id % POISON == 0 or dice < P_RUNNER_DIES:
            happens = self._runner_dies
        elif (dice := dice - P_RUNNER_DIES) < P_SLAVE_DIES:
            happens = self._slave_dies
        elif (dice := dice - P_SLAVE_DIES) < P_SLAVE_IS_CUT_OFF:
            happens = self._slave_is_cut_off
        elif (dice := dice - P_SLAVE_IS_CUT_OFF) < P_SLAVE_GROWS_DEAF:
            happens = self._slave_grows_deaf
        elif (dice := dice - P_SLAVE_GROWS_DEAF) < P_TASK_IS_LONG:
            duration_s += LONG_S
        self._later(duration_s, happens, slave, slave.generation, duration_s)

    def _item_ends(self, slave: SimulatedSlave, generation: int, duration_s: float) -> None:
        if generation != slave.generation:
            return
        item, _ = slave.items.popleft()
        outcome = Outcome(OutcomeKind.VALUE, (), slave.id)
        if slave.items:
            self._begin_first(slave)
        self._say(
            slave,
            lambda: self.scheduler.item_ended(slave.id, item, outcome, duration_s, self.now),
        )

    def _say(self, slave: Any, tell: Callable[[], list[Action]]) -> None:
        """Bring what a slave says of an item to the scheduler."""
        self._perform(tell())

    def _runner_dies(self, slave: SimulatedSlave, generation: int, _: float) -> None:
        if generation == slave.generation:
            self._runner_ends(slave, slave.items[0][0])

    def _runner_ends(self, slave: SimulatedSlave, charged: int) -> None:
        self._forget(slave)
        self._perform(self.scheduler.runner_lost(slave.id, charged, "killed", self.now))

    def _slave_dies(self, slave: SimulatedSlave, generation: int, _: float) -> None:
        if generation == slave.generation:
            self._forget(slave)
            self._perform(self.scheduler.slave_lost(slave.id, True, "vanished", self.now))

    def _slave_is_cut_off(self, slave: SimulatedSlave, generation: int, duration_s: float) -> None:
        if generation == slave.generation:
            slave.is_cut_off = True
            self._perform(self.scheduler.slave_suspected(slave.id, self.now))
            self._later(SILENCE_S, self._slave_returns, slave, generation, duration_s)

    def _slave_returns(self, slave: SimulatedSlave, generation: int, duration_s: float) -> None:
        if generation == slave.generation:
            slave.is_cut_off = False
            self._perform(self.scheduler.slave_heard(slave.id, self.now))
            self._item_ends(
                slave, generation, duration_s
            )  # void if its attempt has just been ended

    def _slave_grows_deaf(self, slave: SimulatedSlave, generation: int, _: float) -> None:
        if generation == slave.generation:
            slave.is_deaf = True
            self.grown_deaf += 1
            if slave.id % LOOKED_AT:
                self._later(PATIENCE_S / 4, self._look_at, slave)

    def _look_at(self, slave: SimulatedSlave) -> None:
        """A slave that is heard is looked at; again and again, as long as there is a task."""
        if not slave.is_cut_off:
            self._perform(self.scheduler.slave_present(slave.id, PATIENCE_S, self.now))
        if self._missing and (slave.is_deaf or slave.id % LOOKED_AT == 0):
            self._later(PATIENCE_S / 4, self._look_at, slave)

    def _given_up(self, slave: SimulatedSlave, is_charged: bool) -> None:
        assert slave.is_deaf, "a slave that answers is given up"
        self.given_up += 1
        self._forget(slave)
        self._perform(self.scheduler.slave_lost(slave.id, is_charged, "deaf", self.now))

    def _hand_back(self, slave: SimulatedSlave, generation: int) -> None:
        if generation == slave.generation and not slave.is_deaf:
            items = [item for item, _ in slave.items][1:]
            for _ in items:
                slave.items.pop()
            self._say(slave, lambda: self.scheduler.items_returned(slave.id, items, self.now))

    def _forget(self, slave: SimulatedSlave) -> None:
        slave.generation += 1
        slave.is_deaf = False
        slave.items.clear()

    def _send(self, slave: Any, items: list[tuple[int, Any]]) -> None:
        self._given(slave, items)

    def _given(self, slave: SimulatedSlave, items: list[tuple[int, Any]]) -> None:
        was_idle = not slave.items
        slave.items.extend(items)
        if was_idle and not slave.is_deaf:
            self._begin_first(slave)

    # ---- between the two

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Deliver):
                self._delivered(action.task, action.outcome)
            elif isinstance(action, SendTasks):
                self._send(self.slaves[action.slave], action.tasks)
            elif isinstance(action, SendSetup):
                self._send(self.slaves[action.slave], [(action.item, action.context)])
            elif not isinstance(action, TooManyFailures):  # no context has a limit
                self._perform_rare(action, self.slaves[action.slave])

    def _perform_rare(self, action: Action, slave: SimulatedSlave) -> None:
        if isinstance(action, TakeBack):
            self._later(WIRE_S, self._hand_back, slave, slave.generation)
        elif isinstance(action, EndAttempt):
            if slave.items and slave.items[0][0] == action.item and not slave.is_deaf:
                slave.generation += 1
                self._later(0.0, self._runner_ends, slave, 0)
        elif isinstance(action, GiveUp):
            self._given_up(slave, action.is_charged)
        elif isinstance(action, NextRunner):
            self._later(RESTART_S, self._runner_starts, slave, slave.generation)
        elif isinstance(action, Relaunch):
            self._later(RELAUNCH_S, self._runner_starts, slave, slave.generation)

    def _plan_tick(self) -> None:
        due = self.scheduler.next_tick()
        if due is not None and (self._tick_at is None or due < self._tick_at):
            self._tick_at = due
            self._later(max(0.0, due - self.now), self._tick, due)

    def _tick(self, due: float) -> None:
        if due == self._tick_at:
            self._tick_at = None
        self._perform(self.scheduler.tick(self.now))

    def _later(self, delay_s: float, happens: Any, *arguments: Any) -> None:
        at = self.now + delay_s
        heapq.heappush(self._heap, (at, next(self._numbers), happens, arguments))
