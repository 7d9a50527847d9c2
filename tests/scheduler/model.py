"""A tiny cluster that obeys the scheduler, with a wire between them on which things take time.

What the scheduler sends lies in a slave's ``inbox`` until :meth:`FakeCluster.arrive`; what a slave
says lies in its ``outbox`` until :meth:`FakeCluster.deliver`. So a driver chooses every race: a
slave may begin an item before a TakeBack reaches it, or die with results that nobody has seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import count, islice
from typing import Any

from imp_parallel_core._definitions.large_parts import LargePart
from imp_parallel_core._scheduler.actions import (
    Action,
    CloseContext,
    Deliver,
    EndAttempt,
    ForgetPart,
    GiveUp,
    KeepPart,
    NextRunner,
    Relaunch,
    RenewRunner,
    SendSetup,
    SendTasks,
    SetAside,
    TakeBack,
    TakeUp,
    TooManyFailures,
)
from imp_parallel_core._scheduler.policy import Policy
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._scheduler.tasks import Ended, Outcome, OutcomeKind, Task

from .ledger import Ledger

CANCELLED = OutcomeKind.CANCELLED
PATIENCE_S = 30.0
REPORT_EVERY = 64  # outcomes that a reader has taken


def unstarted(scheduler: Scheduler) -> int:
    """Return how many tasks wait in queues, the ones that lack credit included."""
    return sum(len(each.fresh) + len(each.retry) for each in scheduler._contexts.values())


class FakeBytes(bytes):
    """Bytes that say that they are many."""

    size = 100_000_000

    def __len__(self) -> int:
        return self.size


def part(number: int) -> LargePart:
    """Return a large part of tasks."""
    made = LargePart(FakeBytes(), 0, lambda number: None)
    made.number = number
    return made


def numbered_parts(task: Task) -> set[tuple[int, int]]:
    """Return the parts of a task that its runner must have been sent: context and number."""
    return {(task.context, p.number) for p in task.payload if type(p) is LargePart and p.number}


class FakeSlave:
    """A supervisor and its runner, as they are in truth (the master may not know it yet)."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.is_launching = True
        self.is_alive = True
        self.restart()

    def restart(self) -> None:
        self.inbox: deque[Action] = deque()
        self.outbox: deque[tuple[Any, ...]] = deque()
        self.is_deaf = False  # answers heartbeats, and does nothing more
        self.is_between_runners = False  # drops what was meant for the runner that died
        self.new_runner()

    def new_runner(self) -> None:
        self.items: dict[int, int | Task] = {}  # the first runs; a context stands for its set-up
        self.set_up: set[int] = set()
        self.kept: set[tuple[int, int]] = set()  # large parts: context and number
        self.begun = 0

    @property
    def first(self) -> int:
        """The item that runs, 0 for none."""
        return next(iter(self.items), 0)

    def lose_runner(self, charged: int, cause: str) -> None:
        self.outbox.append(("runner_lost", charged, cause))
        self.is_between_runners = True
        self.new_runner()

    def exceed_memory(self) -> None:
        self.outbox.append(("memory_exceeded", self.first, f"too much on {self.id}", 1000))
        self.is_between_runners = True
        self.new_runner()

    def obey(self, action: Action) -> None:
        if self.is_deaf:
            return
        match action:
            case NextRunner():
                self.is_between_runners = False
                self.outbox.append(("runner_ready",))
            case _ if self.is_between_runners:
                pass
            case SendSetup(item=item, context=context):
                self.items[item] = context
            case SendTasks(tasks=tasks):
                for _, task in tasks:
                    assert numbered_parts(task) <= self.kept, "a task came before a part of it"
                self.items.update(tasks)
            case KeepPart(context=context, part=part):
                assert (context, part.number) not in self.kept, "a part was sent twice"
                self.kept.add((context, part.number))
            case ForgetPart(context=context, number=number):
                self.kept.remove((context, number))
            case TakeBack():
                returned = list(self.items)[1:]
                for item in returned:
                    del self.items[item]
                self.outbox.append(("items_returned", returned))
            case RenewRunner():
                assert not self.items
                self.lose_runner(0, "replaced")
            case EndAttempt(item=item) if item == self.first:
                self.lose_runner(0, "ended")
            case CloseContext(context=context):
                self.set_up.discard(context)
                self.kept = {key for key in self.kept if key[0] != context}
        self.begin_first()

    def begin_first(self) -> None:
        """The runner takes the next item as soon as it has ended the one before."""
        if self.is_deaf or self.first in (0, self.begun):
            return
        assert self.first > self.begun, "begun in another order than sent"
        self.begun = self.first
        what = self.items[self.first]
        if isinstance(what, Task):
            assert what.context in self.set_up, "a task began before its set-up"
        else:
            assert what not in self.set_up, "a set-up ran twice in one runner"

    def end_first(self, duration_s: float, size_bytes: int, fails: bool) -> None:
        """The item that runs comes to its end, well or badly."""
        item = self.first
        what = self.items.pop(item)
        kind = OutcomeKind.RAISED if fails else OutcomeKind.VALUE
        if not isinstance(what, Task) and not fails:
            self.set_up.add(what)
        outcome = Outcome(kind, (item,), self.id, size_bytes)
        self.outbox.append(("item_ended", item, outcome, duration_s))
        self.begin_first()


class FakeReader:
    """A thread of the user. It reports late what it has taken, and asks once for each wait."""

    def __init__(self, cluster: FakeCluster, context: int, in_order: bool = True) -> None:
        self.cluster = cluster
        self.context = context
        self.in_order = in_order
        self.known = cluster.ledger.contexts[context]
        self.taken: dict[int, None] = {}  # and not reported
        self.is_waiting = False

    def take(self, number: int) -> list[int]:
        """Take the outcomes of so many tasks, or as many as there are, and then wait for more."""
        got: list[int] = []
        while len(got) < number:
            task = self._next_in_order() if self.in_order else self._next_arrived()
            if task is None:
                self._wait()
                break
            self.is_waiting = False
            got.append(task)
            self.taken[task] = None
            if len(self.taken) == REPORT_EVERY:
                self._report()
        return got

    def _next_arrived(self) -> int | None:
        return next((task for task in self.known.unread if task not in self.taken), None)

    def _next_in_order(self) -> int | None:
        arrived = (task for task in self.known.unread if task not in self.taken)
        oldest = min(arrived, default=None)
        is_next = oldest is not None and oldest < min(self.known.waiting, default=oldest + 1)
        return oldest if is_next else None

    def _wait(self) -> None:
        if self.known.waiting and not self.is_waiting:
            self.is_waiting = True
            self._report()
            self.cluster.reader_waits(self.context)

    def _report(self) -> None:
        taken = list(self.taken)
        self.taken.clear()
        if taken:
            self.cluster.report_read(self.context, taken)


class FakeCluster:
    """Slaves, the scheduler, and a clock that only the driver moves."""

    def __init__(self, policy: Policy | None = None, *, has_large_tasks: bool = False) -> None:
        self.policy = policy or Policy()
        self._has_large_tasks = has_large_tasks
        self.scheduler = Scheduler(self.policy)
        self.ledger = Ledger(self.policy)
        self.slaves: dict[int, FakeSlave] = {}
        self.now = 0.0
        self.last: list[Action] = []
        """The actions that followed the last event."""
        self._ids = count(1)
        self._parts = [part(number) for number in range(6)]  # the first travels in its task

    # ---- what the user does

    def open_context(
        self, max_attempts: int = 3, max_failures: int = 0, max_tasks_per_runner: int = 0
    ) -> int:
        context, limits = next(self._ids), (max_failures, max_tasks_per_runner)
        self.ledger.context_opened(context, max_attempts, *limits)
        self._perform(self.scheduler.context_opened(context, max_attempts, 0.0, 0.0, *limits))
        return context

    def begin_anew(self, context: int) -> None:
        """The user clears a context of which too many tasks have failed, or not."""
        self.ledger.failures_forgotten(context)
        self._perform(self.scheduler.failures_forgotten(context, self.now))

    def add_tasks(self, context: int, number: int = 1, is_reversed: bool = False) -> list[Task]:
        """Add tasks; those that several threads add at once may come in another order."""
        tasks = [Task(context, self._payload(id), id=id) for id in islice(self._ids, number)]
        if is_reversed:
            tasks.reverse()
        self.ledger.tasks_added(tasks)
        self._perform(self.scheduler.tasks_added(tasks, self.now))
        return tasks

    def _payload(self, id: int) -> tuple[Any, ...]:
        """Return the payload of a task; if there are large ones, every third is."""
        if not self._has_large_tasks or id % 3:
            return (b"",)
        return b"", self._parts[id // 3 % 6], self._parts[id // 18 % 6]

    def cancel(self, context: int, tasks: list[Task]) -> None:
        """Cancel tasks, some of which may have their outcomes."""
        waiting = self.ledger.tasks_cancelled(tasks)
        for task in tasks:
            found = self.scheduler.unfinished_task(context, task.inbox, task.number)
            assert found is (task if task in waiting else None)
        self._perform(self.scheduler.tasks_cancelled(context, tasks, self.now))
        assert all(self.ledger.outcomes[task.id].kind is CANCELLED for task in waiting)
        assert len([action for action in self.last if isinstance(action, Deliver)]) == len(waiting)

    def release_part(self, context: int, number: int) -> None:
        """No task refers to a part any more."""
        self._perform(self.scheduler.part_released(context, number))

    def read(self, context: int, outcomes: int) -> None:
        """Take the outcomes that came first, and report them at once."""
        self.report_read(context, list(islice(self.ledger.contexts[context].unread, outcomes)))

    def report_read(self, context: int, tasks: list[int]) -> None:
        size_bytes = self.ledger.outcomes_read(context, tasks)
        self._perform(self.scheduler.outcomes_read(context, len(tasks), size_bytes, self.now))

    def reader_waits(self, context: int) -> None:
        self.ledger.reader_waits(context)
        self._perform(self.scheduler.reader_waits(context, self.now))

    def close_context(self, context: int) -> None:
        self.ledger.context_closed(context)
        self._perform(self.scheduler.context_closed(context, self.now))

    # ---- what happens to slaves

    def add_slave(self, relaunchable: bool = False) -> FakeSlave:
        slave = FakeSlave(next(self._ids))
        self.slaves[slave.id] = slave
        self.ledger.slave_added(slave.id)
        self._perform(self.scheduler.slave_added(slave.id, relaunchable))
        return slave

    def add_ready_slave(self, relaunchable: bool = False) -> FakeSlave:
        slave = self.add_slave(relaunchable)
        self.join(slave)
        self.exchange(slave)
        return slave

    def join(self, slave: FakeSlave) -> None:
        """A slave that was launched has its first runner."""
        if slave.is_launching and slave.is_alive:
            slave.is_launching = False
            slave.outbox.append(("runner_ready",))

    def kill_runner(self, slave: FakeSlave, is_charged: bool = True) -> None:
        if slave.is_alive and not slave.is_launching and not slave.is_between_runners:
            slave.lose_runner(slave.first if is_charged else 0, f"killed on {slave.id}")

    def exceed_memory(self, slave: FakeSlave) -> None:
        """What a runner is at holds too much memory, and the supervisor ends the runner."""
        if slave.is_alive and slave.first and not slave.is_deaf:
            slave.exceed_memory()

    def kill_slave(self, slave: FakeSlave, is_charged: bool = True) -> None:
        """It dies, and the master learns it; what was on the wire is lost."""
        if slave.is_alive:
            slave.is_alive = False
            self._tell(slave, "slave_lost", is_charged, f"lost with {slave.id}")

    def restart_slave(self, slave: FakeSlave) -> None:
        """Its batch system ends it, if it has not ended yet, and starts it anew."""
        if not slave.is_launching and not self.scheduler._slaves[slave.id].relaunchable:
            slave.is_launching = slave.is_alive = True
            slave.restart()
            self._tell(slave, "slave_restarted", f"{slave.id} was started anew")

    def cut_off(self, slave: FakeSlave) -> None:
        """Its connection breaks, and the master learns it; what either says waits."""
        if slave.is_alive and not slave.is_launching:
            self._tell(slave, "slave_away")

    def come_back(self, slave: FakeSlave) -> None:
        if self.ledger.slaves[slave.id].is_away:
            self._tell(slave, "slave_back")

    def suspect(self, slave: FakeSlave) -> None:
        if slave.is_alive:
            self._tell(slave, "slave_suspected")

    def hear(self, slave: FakeSlave) -> None:
        if slave.is_alive:
            self._tell(slave, "slave_heard")

    def grow_deaf(self, slave: FakeSlave) -> None:
        """It obeys no more, and its runner stands still, but it is heard."""
        if slave.is_alive and not slave.is_launching and not slave.is_between_runners:
            slave.is_deaf = True
            self.ledger.deaf.add(slave.id)

    def look_at(self, slave: FakeSlave) -> None:
        """A quarter of the patience has passed, in which all that was sent has arrived."""
        known = self.ledger.slaves[slave.id]
        if slave.is_launching or known.is_suspected or known.is_away:
            return
        self.exchange(slave)
        if known.is_leaving and not (known.items or slave.is_deaf):
            self.kill_slave(slave, False)  # it has been told to leave
        elif slave.is_alive:
            self.now += PATIENCE_S / 4
            self._perform(self.scheduler.slave_present(slave.id, PATIENCE_S, self.now))

    def leave(self, slave: FakeSlave) -> None:
        """It learns that it will be ended, and says so."""
        if slave.is_alive and not slave.is_launching:
            slave.outbox.append(("slave_leaving",))

    def end_item(
        self, slave: FakeSlave, duration_s: float = 1.0, size_bytes: int = 1, fails: bool = False
    ) -> None:
        if slave.items and not slave.is_deaf:
            slave.end_first(duration_s, size_bytes, fails)

    # ---- what moves

    def arrive(self, slave: FakeSlave) -> None:
        """The oldest message to a slave reaches it."""
        if slave.inbox and not self.ledger.slaves[slave.id].is_away:
            slave.obey(slave.inbox.popleft())

    def deliver(self, slave: FakeSlave) -> None:
        """The oldest message of a slave reaches the scheduler."""
        known = self.ledger.slaves[slave.id]
        if slave.outbox and not (known.is_suspected or known.is_away):
            if values := self._take_values(slave):
                for item, outcome, duration_s in values:
                    self.ledger.item_ended(slave.id, item, outcome, duration_s)
                ended = Ended.of(*values)
                self._perform(self.scheduler.items_ended(slave.id, ended, self.now))
            else:
                name, *arguments = slave.outbox.popleft()
                self._tell(slave, name, *arguments)

    def _take_values(self, slave: FakeSlave) -> list[tuple[int, Outcome, float]]:
        """Take the values of tasks that a slave sends next: they come in one message."""
        values: list[tuple[int, Outcome, float]] = []
        held = self.ledger.slaves[slave.id].items
        while slave.outbox and slave.outbox[0][0] == "item_ended":
            item, outcome, duration_s = slave.outbox[0][1:]
            if outcome.kind is not OutcomeKind.VALUE or not isinstance(held[item], Task):
                break
            values.append((item, outcome, duration_s))
            slave.outbox.popleft()
        return values

    def tick(self) -> None:
        """The clock moves to when the scheduler wanted to be called."""
        due = self.scheduler.next_tick()
        if due is not None:
            self.now = max(self.now, due)
            self._perform(self.scheduler.tick(self.now))
            again = self.scheduler.next_tick()
            assert again is None or again > self.now, "the engine would spin"

    def exchange(self, *slaves: FakeSlave) -> list[Action]:
        """Everything that is on the wire of these (or all) slaves arrives; return what was sent."""
        sent: list[Action] = []
        among = slaves or tuple(self.slaves.values())
        while any(self._can_move(slave) for slave in among):
            for slave in among:
                while slave.inbox and not self.ledger.slaves[slave.id].is_away:
                    self.arrive(slave)
                if self._can_move(slave):
                    self.deliver(slave)
                    sent += self.last
        return sent

    def finish_item(self, slave: FakeSlave, **how: Any) -> list[Action]:
        """The item that runs on a slave ends, and the scheduler learns it."""
        self.end_item(slave, **how)
        return self.exchange(slave)

    def run_to_quiescence(self, readers: Iterable[FakeReader] = (), limit: int = 5_000) -> None:
        """Let everything that is under way come to its end, and succeed.

        The readers, if any, take whatever they can, and wait for more.
        """
        for _ in range(limit):
            for slave in self.slaves.values():
                self.join(slave)
            self.exchange()
            for reader in readers:
                reader.take(limit)
            deaf = [s for s in self.slaves.values() if s.is_deaf and s.is_alive]
            for slave in deaf:
                self.look_at(slave)
            busy = [s for s in self.slaves.values() if s.items and not s.is_deaf]
            for slave in busy:
                self.end_item(slave, duration_s=0.01)
            self.tick()
            waits = any(each.waiting for each in self.ledger.contexts.values())
            is_quiet = not (busy or (deaf and waits)) and not any(
                self._can_move(s) for s in self.slaves.values()
            )
            if is_quiet and self.scheduler.next_tick() is None:
                return
        raise AssertionError("the cluster never comes to rest")

    def _can_move(self, slave: FakeSlave) -> bool:
        known = self.ledger.slaves[slave.id]
        can_be_heard = not known.is_suspected
        return not known.is_away and bool(slave.inbox or (slave.outbox and can_be_heard))

    # ---- between the two

    def _tell(self, slave: FakeSlave, event: str, *arguments: Any) -> None:
        getattr(self.ledger, event)(slave.id, *arguments)
        method = getattr(self.scheduler, event)
        self._perform(method(slave.id, *arguments, self.now))

    def _perform(self, actions: list[Action]) -> None:
        self.last = actions
        for action in actions:
            self.ledger.check(action)
            if isinstance(action, Relaunch):
                slave = self.slaves[action.slave]
                slave.is_launching = slave.is_alive = True
                slave.restart()
            elif isinstance(action, GiveUp):
                self.kill_slave(self.slaves[action.slave], action.is_charged)
            elif (
                not isinstance(action, (Deliver, SetAside, TakeUp, TooManyFailures))
                and self.slaves[action.slave].is_alive
            ):
                self.slaves[action.slave].inbox.append(action)
        for slave in self.slaves.values():
            if not slave.is_alive:
                slave.restart()
        self.ledger.check_state()
