"""What the master can know from events alone, to hold every action against the promises."""

from __future__ import annotations

from collections import Counter

from imp_parallel_core._scheduler.actions import (
    Action,
    CloseContext,
    Deliver,
    EndAttempt,
    GiveUp,
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
from imp_parallel_core._scheduler.tasks import FAILURES, Outcome, OutcomeKind, Task


class KnownSlave:
    """A slave as the master knows it."""

    def __init__(self) -> None:
        self.failed: set[int] = set()  # contexts whose set-up failed here
        self.relapses: dict[int, int] = {}  # contexts whose set-up it has managed; failures since
        self.has_relapsed = False
        self.is_away = False
        self.is_suspected = False
        self.is_leaving = False
        self.is_gone = False
        self.is_aside = False
        self.has_joined = False
        self.is_trusted = False  # of its last tasks one has come to its end, and none died since
        self.killed: set[int] = set()  # tasks that died here since one came to its end
        self.forget_runner()

    def forget_runner(self) -> None:
        self.is_ready = False
        self.has_relapsed = False
        self.is_asked_to_return = False
        self.items: dict[int, int | Task] = {}
        self.set_up: set[int] = set()
        self.tasks_run = 0  # by its runner

    @property
    def may_be_sent_work(self) -> bool:
        return self.is_ready and not (
            self.is_away
            or self.is_suspected
            or self.is_leaving
            or self.is_gone
            or self.is_aside
            or self.is_asked_to_return
        )

    @property
    def is_there(self) -> bool:
        """Whether it works, or will when it has its next runner."""
        return self.has_joined and not (
            self.is_away or self.is_suspected or self.is_leaving or self.is_gone or self.is_aside
        )

    @property
    def tasks(self) -> list[Task]:
        return [what for what in self.items.values() if isinstance(what, Task)]


class KnownContext:
    """A context as the master knows it."""

    def __init__(self, max_attempts: int, max_failures: int, max_tasks_per_runner: int) -> None:
        self.max_attempts = max_attempts
        self.max_tasks_per_runner = max_tasks_per_runner
        self.max_failures = max_failures
        self.failures = 0
        self.is_stopped = False
        self.held: dict[int, Task] = {}  # added after it was stopped, by id
        self.waiting: dict[int, Task] = {}  # not delivered, by id
        self.started: set[int] = set()  # of those, the ones that have been sent at least once
        self.unread: dict[int, int] = {}  # by task, the sizes of outcomes not reported as read
        self.has_waiting_reader = False  # has said so since outcomes were last reported as read
        self.failed_on: set[int] = set()  # slaves on which the set-up failed
        self.lost_in: Counter[int] = Counter()  # slaves that were lost while they set up
        self.is_managed = False  # by any slave, at any time
        self.is_broken = False

    @property
    def is_doubtful(self) -> bool:
        lost = sum(count for id, count in self.lost_in.items() if id not in self.failed_on)
        return not self.is_managed and len(self.failed_on) + lost >= self.max_attempts

    def has_credit(self, policy: Policy) -> bool:
        return (
            len(self.unread) < policy.credit_outcomes
            and sum(self.unread.values()) < policy.credit_bytes
        )

    def may_start_fresh(self, policy: Policy) -> bool:
        return self.has_credit(policy) or (self.has_waiting_reader and not self.started)


class Ledger:
    """Follows events and actions; asserts what has to hold for each action and between them."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.slaves: dict[int, KnownSlave] = {}
        self.contexts: dict[int, KnownContext] = {}
        self.closed: set[int] = set()
        self.tasks: dict[int, Task] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.cancelled: set[int] = set()
        self.exceeded: set[int] = set()  # tasks that held too much memory
        self.ended: set[int] = set()  # tasks without an outcome of contexts that were stopped
        self.charges: Counter[int] = Counter()
        self.deaf: set[int] = set()  # slaves that do not do what they are asked
        self.died_on: dict[int, set[int]] = {}  # by task: slaves
        self.relaunches: Counter[int] = Counter()
        self.last_item = 0

    # ---- events

    def context_opened(
        self, context: int, max_attempts: int, max_failures: int, max_tasks_per_runner: int
    ) -> None:
        self.contexts[context] = KnownContext(max_attempts, max_failures, max_tasks_per_runner)

    def failures_forgotten(self, context: int) -> None:
        known = self.contexts[context]
        known.failures, known.is_stopped = 0, False
        known.waiting.update(known.held)
        known.held.clear()

    def context_closed(self, context: int) -> None:
        del self.contexts[context]
        self.closed.add(context)

    def tasks_added(self, tasks: list[Task]) -> None:
        for task in tasks:
            self.tasks[task.id] = task
            known = self.contexts.get(task.context)
            if known is not None:
                (known.held if known.is_stopped else known.waiting)[task.id] = task

    def tasks_cancelled(self, tasks: list[Task]) -> list[Task]:
        """Return the tasks among these that have no outcome."""
        waiting = [
            task
            for task in tasks
            for known in [self.contexts[task.context]]
            if task.id in known.waiting or task.id in known.held
        ]
        self.cancelled.update(task.id for task in waiting)
        return waiting

    def outcomes_read(self, context: int, tasks: list[int]) -> int:
        """Return of how many bytes the outcomes of these tasks were."""
        known = self.contexts[context]
        known.has_waiting_reader = False
        return sum(known.unread.pop(task) for task in tasks)

    def reader_waits(self, context: int) -> None:
        self.contexts[context].has_waiting_reader = True

    def slave_added(self, slave: int) -> None:
        self.slaves[slave] = KnownSlave()

    def runner_ready(self, slave: int) -> None:
        self.slaves[slave].is_ready = self.slaves[slave].has_joined = True

    def slave_away(self, slave: int) -> None:
        self.slaves[slave].is_away = True

    def slave_back(self, slave: int) -> None:
        self.slaves[slave].is_away = False

    def slave_suspected(self, slave: int) -> None:
        self.slaves[slave].is_suspected = True

    def slave_heard(self, slave: int) -> None:
        self.slaves[slave].is_suspected = False

    def slave_leaving(self, slave: int) -> None:
        self.slaves[slave].is_leaving = True

    def runner_lost(self, slave: int, charged: int, cause: str) -> None:
        known = self.slaves[slave]
        self._charge(known, slave, charged)
        known.forget_runner()

    def memory_exceeded(self, slave: int, item: int, cause: str, peak_bytes: int) -> None:
        known = self.slaves[slave]
        what = known.items[item]
        if not isinstance(what, Task):
            self._setup_failed(known, slave, what)
        elif self._is_unfinished(what):
            self.charges[what.id] += 1  # which is no mark against the slave
            max_attempts = self.contexts[what.context].max_attempts
            if not known.tasks_run or self.charges[what.id] > 1 or max_attempts == 1:
                self.exceeded.add(what.id)
        known.forget_runner()

    def slave_lost(self, slave: int, is_charged: bool, cause: str) -> None:
        known = self.slaves[slave]
        self._charge(known, slave, next(iter(known.items), 0) if is_charged else 0, is_loss=True)
        known.forget_runner()
        self.deaf.discard(slave)
        known.is_gone, known.is_suspected, known.is_away = True, False, False

    def slave_restarted(self, slave: int, cause: str) -> None:
        known = self.slaves[slave]
        if known.is_gone:
            self.slave_added(slave)
        else:
            known.forget_runner()
            self.deaf.discard(slave)
            known.is_suspected = known.is_away = known.is_leaving = False

    def item_ended(self, slave: int, item: int, outcome: Outcome, duration_s: float) -> None:
        known = self.slaves[slave]
        assert next(iter(known.items)) == item
        context = known.items.pop(item)
        if isinstance(context, Task):
            known.tasks_run += 1
            known.killed.clear()
            known.is_trusted = True
            if self._is_tried_elsewhere(known, context, outcome):
                self.charges[context.id] += 1
            return
        if outcome.kind is OutcomeKind.VALUE:
            known.set_up.add(context)
            known.relapses[context] = 0
            if context in self.contexts:
                self.contexts[context].is_managed = True
                self.contexts[context].is_broken = False
                self.contexts[context].lost_in.clear()
        elif not self._is_excused(known):
            self._setup_failed(known, slave, context)

    def _is_excused(self, slave: KnownSlave) -> bool:
        """Whether a warning may have made something fail that may work elsewhere."""
        others = (other for other in self.slaves.values() if other is not slave)
        can_go_on = any(not (other.is_gone or other.is_leaving) for other in others)
        return (slave.is_leaving or slave.is_away) and can_go_on

    def _is_tried_elsewhere(self, slave: KnownSlave, task: Task, outcome: Outcome) -> bool:
        context = self.contexts.get(task.context)
        return (
            outcome.kind is OutcomeKind.RAISED
            and self._is_excused(slave)
            and context is not None
            and task.id in context.waiting
            and self.charges[task.id] + 1 < context.max_attempts
        )

    def items_returned(self, slave: int, items: list[int]) -> None:
        known = self.slaves[slave]
        known.is_asked_to_return = False
        for item in items:
            del known.items[item]

    def _charge(self, known: KnownSlave, slave: int, item: int, *, is_loss: bool = False) -> None:
        what = known.items.get(item)
        if known.is_leaving or what is None:
            return
        if not isinstance(what, Task):
            if is_loss and what in self.contexts:
                context = self.contexts[what]
                context.lost_in[slave] += 1
                if context.lost_in[slave] < context.max_attempts:
                    return
                known.relapses.pop(what, None)  # it was lost too often
            self._setup_failed(known, slave, what)
        elif self._is_unfinished(what):
            self.charges[what.id] += 1
            self.died_on.setdefault(what.id, set()).add(slave)
            known.killed.add(what.id)
            known.is_trusted = False

    def _is_unfinished(self, task: Task) -> bool:
        has_ended = task.id in self.outcomes or task.id in self.ended
        return not has_ended and task.context in self.contexts

    def _setup_failed(self, known: KnownSlave, slave: int, context: int) -> None:
        if context in self.contexts:
            if context in known.relapses:
                known.relapses[context] += 1
                if known.relapses[context] < self.contexts[context].max_attempts:
                    known.has_relapsed = True
                    return
            known.failed.add(context)
            self.contexts[context].failed_on.add(slave)

    # ---- actions

    def check(self, action: Action) -> None:
        match action:
            case SendSetup(slave, item, context):
                self._check_setup(self.slaves[slave], item, context)
            case SendTasks(slave, tasks):
                self._check_tasks(self.slaves[slave], tasks)
            case TakeBack(slave):
                known = self.slaves[slave]
                assert known.is_ready
                assert not known.is_asked_to_return
                known.is_asked_to_return = True
            case EndAttempt(slave, item):
                self._check_end(self.slaves[slave], item)
            case CloseContext(slave, context):
                assert context in self.closed
                self.slaves[slave].set_up.discard(context)
            case Relaunch(slave):
                known = self.slaves[slave]
                assert known.is_gone
                assert not known.is_leaving, "a slave that was sent away is launched again"
                known.is_gone = False
                self.relaunches[slave] += 1
                assert self.relaunches[slave] <= self.policy.max_relaunches
            case SetAside(slave, deaths):
                known = self.slaves[slave]
                assert deaths == len(known.killed) >= self.policy.ill_after
                known.is_aside = True
            case TakeUp(slave):
                assert self.slaves[slave].is_aside
                self.slaves[slave].is_aside = False
            case GiveUp(slave, _, is_charged):
                assert slave in self.deaf, "a slave that does what it is asked is given up"
                assert not is_charged
            case TooManyFailures(context):
                known_context = self.contexts[context]
                assert known_context.failures == known_context.max_failures > 0
                known_context.is_stopped = True
                self.ended.update(known_context.waiting)
                known_context.waiting.clear()
                known_context.started.clear()
            case RenewRunner(slave):
                known = self.slaves[slave]
                assert known.may_be_sent_work
                assert not known.items, "a runner is replaced that is at something"
                limits = [c.max_tasks_per_runner for c in self.contexts.values()]
                has_run_enough = any(0 < limit <= known.tasks_run for limit in limits)
                assert has_run_enough or known.has_relapsed
                known.forget_runner()
            case NextRunner(slave):
                assert not self.slaves[slave].is_ready
            case Deliver(task, outcome):
                self._check_delivery(task, outcome)

    def _new_item(self, slave: KnownSlave, item: int, what: int | Task) -> None:
        assert slave.may_be_sent_work
        assert item > self.last_item, "items are numbered in the order in which they are sent"
        self.last_item = item
        slave.items[item] = what

    def _check_setup(self, slave: KnownSlave, item: int, context: int) -> None:
        assert not slave.items, "a set-up waits behind something, or with something behind it"
        assert context not in slave.set_up
        assert context not in slave.failed
        assert not self.contexts[context].is_doubtful, "another slave tries what failed too often"
        self._new_item(slave, item, context)

    def _check_tasks(self, slave: KnownSlave, tasks: list[tuple[int, Task]]) -> None:
        assert tasks
        assert len(slave.tasks) == len(slave.items), "tasks wait behind a set-up"
        assert len({task.context for _, task in tasks}) == 1
        for item, task in tasks:
            context = self.contexts[task.context]
            assert task.context in slave.set_up, "not set up in this runner"
            limit = context.max_tasks_per_runner or 1 << 60
            assert slave.tasks_run + len(slave.items) < limit, "more tasks than a runner may run"
            assert task.id in context.waiting, "its outcome has been delivered"
            assert not any(task in s.tasks for s in self.slaves.values() if not s.is_suspected)
            if task.id not in context.started:
                assert context.may_start_fresh(self.policy), "no credit for a fresh task"
                context.started.add(task.id)
            self._new_item(slave, item, task)

    def _check_end(self, slave: KnownSlave, item: int) -> None:
        assert next(iter(slave.items)) == item
        what = slave.items[item]
        if isinstance(what, Task):
            is_ended = what.id in self.outcomes or what.id in self.ended
            assert is_ended or what.context in self.closed
        else:
            assert what in self.closed

    def _check_delivery(self, task: Task, outcome: Outcome) -> None:
        context = self.contexts[task.context]
        assert task.id not in self.outcomes, "delivered twice"
        assert (outcome.kind is OutcomeKind.CANCELLED) == (task.id in self.cancelled)
        assert (outcome.kind is OutcomeKind.MEMORY_EXCEEDED) == (task.id in self.exceeded)
        self.outcomes[task.id] = outcome
        del (context.held if task.id in context.held else context.waiting)[task.id]
        context.started.discard(task.id)
        assert not context.is_stopped or outcome.kind not in FAILURES, "more than the limit"
        context.failures += outcome.kind in FAILURES
        context.unread[task.id] = outcome.size_bytes
        if outcome.kind is OutcomeKind.RAISED and self._is_excused(self.slaves[outcome.slave]):
            assert self.charges[task.id] + 1 == context.max_attempts
        if outcome.kind is OutcomeKind.LOST:
            assert self.charges[task.id] == context.max_attempts
            assert outcome.content == task.history
        if outcome.kind is OutcomeKind.SETUP_FAILED:
            relapses = self.slaves[outcome.slave].relapses.get(task.context, 0)
            assert outcome.slave in context.failed_on or context.lost_in[outcome.slave] or relapses
            context.is_broken |= context.is_doubtful and not self._is_tried(task.context)
            alive = {id for id, slave in self.slaves.items() if not slave.is_gone}
            assert context.is_broken or alive <= context.failed_on

    def _is_tried(self, context: int) -> bool:
        """Whether a slave that is heard is at a context's set-up."""
        heard = (slave for slave in self.slaves.values() if not slave.is_suspected)
        return any(context in slave.items.values() for slave in heard)

    # ---- between the events

    def check_state(self) -> None:
        for task in self.tasks.values():
            assert len(task.history) == self.charges[task.id], "each charge is remembered, no more"
        heard = [s for s in self.slaves.values() if not s.is_suspected]
        held = {task.id for slave in heard for task in slave.tasks}
        slaves = self.slaves.items()
        if any(known.is_aside and not known.is_gone for _, known in slaves):
            assert any(known.is_there and not known.killed for _, known in slaves), (
                "slaves are set aside, and no other works"
            )
        for id, slave in slaves:
            for context, its in self.contexts.items() if slave.is_aside else ():
                if context not in slave.failed and self._may_start(id, its, held):
                    assert any(
                        known.is_there and not known.killed and context not in known.failed
                        for _, known in slaves
                    ), "tasks wait for slaves that are set aside, and no other may run them"
        for id, slave in slaves:
            if slave.may_be_sent_work and not slave.items:
                startable = {
                    context
                    for context, known in self.contexts.items()
                    if context not in slave.failed and self._may_start(id, known, held)
                }
                assert not startable, "a slave is idle while there is work for it"

    def _may_take(self, slave: int, task: Task) -> bool:
        """Whether a task may be tried on a slave at once: it is the best that there is for it."""
        died_on = self.died_on.get(task.id, set())
        if not died_on or (slave not in died_on and self.slaves[slave].is_trusted):
            return True
        others = {id: known for id, known in self.slaves.items() if id != slave}
        return not any(
            known.is_there
            and id not in died_on
            and task.context not in known.failed
            and (known.is_trusted or (known.tasks and not known.killed))
            for id, known in others.items()
        )

    def _may_start(self, slave: int, context: KnownContext, held: set[int]) -> bool:
        if context.is_broken or context.is_doubtful:
            return False  # what is left of it runs where it is, or not at all
        loose = [task for id, task in context.waiting.items() if id not in held]
        retries = [task for task in loose if task.id in context.started]
        return any(self._may_take(slave, task) for task in retries) or (
            len(retries) < len(loose) and context.may_start_fresh(self.policy)
        )
