"""The promises of the scheduler, whatever happens and in whatever order."""

from __future__ import annotations

import random

import pytest
from coverage import Coverage
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from imp_parallel_core._scheduler.policy import Policy

from .model import FakeCluster, FakeReader, FakeSlave, unstarted

PICK = st.integers(0, 11)
DURATIONS_S = (0.0001, 0.01, 0.5)
NEVER = float("inf")  # the ledger counts all relaunches
TIGHT = Policy(max_relaunches=2, credit_outcomes=6, credit_bytes=40, worth_s=NEVER)
WIDE = Policy(max_relaunches=1, worth_s=NEVER)
TINY = Policy(credit_outcomes=1, worth_s=NEVER)


class Readers:
    """One reader for each open context; some read in order, some as outcomes come."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.by_context: dict[int, FakeReader] = {}

    def open_context(
        self,
        max_attempts: int,
        in_order: bool,
        max_failures: int = 0,
        max_tasks_per_runner: int = 0,
    ) -> int:
        context = self.cluster.open_context(max_attempts, max_failures, max_tasks_per_runner)
        self.by_context[context] = FakeReader(self.cluster, context, in_order)
        return context

    def close_context(self, context: int) -> None:
        del self.by_context[context]
        self.cluster.close_context(context)


def cancel_some(cluster: FakeCluster, context: int, first: int, number: int) -> None:
    """Cancel tasks among those without an outcome, and one that may have its outcome."""
    every = [task for task in cluster.ledger.tasks.values() if task.context == context]
    waiting = list(cluster.ledger.contexts[context].waiting.values())
    cluster.cancel(context, list(dict.fromkeys([*waiting[first:][:number], *every[:1]])))


def check_the_end(cluster: FakeCluster, readers: Readers) -> None:
    """Heal everything, add a slave that works, and let it run: nothing may be left.

    A reader that waited before is not asked again: no lack of credit may stop a run for good.
    """
    for slave in list(cluster.slaves.values()):
        cluster.come_back(slave)
        cluster.hear(slave)
    for id in list(cluster.ledger.contexts):
        cluster.begin_anew(id)
    cluster.add_slave()
    cluster.run_to_quiescence(readers.by_context.values())
    for context in cluster.ledger.contexts.values():
        assert not context.waiting, "tasks without an outcome"
    for reader in readers.by_context.values():
        assert reader.known.unread.keys() == reader.taken.keys(), "outcomes that nobody got"
    assert unstarted(cluster.scheduler) == 0


class SchedulerMachine(RuleBasedStateMachine):
    """Everything that can happen, in every order; the ledger checks each step."""

    @initialize(
        policy=st.sampled_from([TIGHT, WIDE, TINY]),
        relaunchable=st.booleans(),
        in_order=st.booleans(),
    )
    def start(self, policy: Policy, relaunchable: bool, in_order: bool) -> None:
        self.cluster = FakeCluster(policy, has_large_tasks=True)
        self.readers = Readers(self.cluster)
        for _ in range(2):
            self.cluster.add_ready_slave(relaunchable)
        self.cluster.add_tasks(self.readers.open_context(3, in_order), 3)

    def slave(self, pick: int) -> FakeSlave:
        slaves = list(self.cluster.slaves.values())
        return slaves[pick % len(slaves)]

    def context(self, pick: int) -> int:
        contexts = list(self.cluster.ledger.contexts)
        return contexts[pick % len(contexts)]

    # ---- the user

    @precondition(lambda self: len(self.cluster.ledger.contexts) < 4)
    @rule(
        max_attempts=st.integers(1, 3),
        in_order=st.booleans(),
        max_failures=st.sampled_from([0, 1, 2]),
        max_tasks_per_runner=st.sampled_from([0, 0, 1, 3]),
    )
    def open_context(
        self, max_attempts: int, in_order: bool, max_failures: int, max_tasks_per_runner: int
    ) -> None:
        self.readers.open_context(max_attempts, in_order, max_failures, max_tasks_per_runner)

    @precondition(lambda self: self.cluster.ledger.contexts)
    @rule(pick=PICK)
    def begin_anew(self, pick: int) -> None:
        self.cluster.begin_anew(self.context(pick))

    @precondition(lambda self: self.cluster.ledger.contexts)
    @rule(pick=PICK, number=st.sampled_from([1, 2, 10, 80]), is_reversed=st.booleans())
    def add_tasks(self, pick: int, number: int, is_reversed: bool) -> None:
        self.cluster.add_tasks(self.context(pick), number, is_reversed)

    @precondition(lambda self: self.cluster.ledger.contexts)
    @rule(pick=PICK, number=st.integers(1, 20))
    def read_outcomes(self, pick: int, number: int) -> None:
        self.readers.by_context[self.context(pick)].take(number)

    @precondition(lambda self: self.cluster.ledger.contexts)
    @rule(pick=PICK)
    def close_context(self, pick: int) -> None:
        self.readers.close_context(self.context(pick))

    @precondition(lambda self: self.cluster.ledger.contexts)
    @rule(pick=PICK, first=PICK, number=st.sampled_from([1, 1, 2, 10]))
    def cancel(self, pick: int, first: int, number: int) -> None:
        cancel_some(self.cluster, self.context(pick), first, number)

    @precondition(lambda self: self.cluster.ledger.contexts)
    @rule(pick=PICK, number=st.integers(1, 5))
    def release_part(self, pick: int, number: int) -> None:
        self.cluster.release_part(self.context(pick), number)

    # ---- slaves come and go

    @precondition(lambda self: len(self.cluster.slaves) < 8)
    @rule(relaunchable=st.booleans(), is_ready=st.booleans())
    def add_slave(self, relaunchable: bool, is_ready: bool) -> None:
        slave = self.cluster.add_slave(relaunchable)
        if is_ready:
            self.cluster.join(slave)
            self.cluster.exchange(slave)

    @rule(pick=PICK)
    def join(self, pick: int) -> None:
        self.cluster.join(self.slave(pick))

    @rule(pick=PICK, is_charged=st.booleans())
    def kill_runner(self, pick: int, is_charged: bool) -> None:
        self.cluster.kill_runner(self.slave(pick), is_charged)

    @rule(pick=PICK)
    def exceed_memory(self, pick: int) -> None:
        self.cluster.exceed_memory(self.slave(pick))

    @rule(pick=PICK, is_charged=st.booleans())
    def kill_slave(self, pick: int, is_charged: bool) -> None:
        self.cluster.kill_slave(self.slave(pick), is_charged)

    @rule(pick=PICK)
    def restart_slave(self, pick: int) -> None:
        self.cluster.restart_slave(self.slave(pick))

    @rule(pick=PICK)
    def leave(self, pick: int) -> None:
        self.cluster.leave(self.slave(pick))

    @rule(pick=PICK)
    def grow_deaf(self, pick: int) -> None:
        self.cluster.grow_deaf(self.slave(pick))

    @rule(pick=PICK, looks=st.sampled_from([1, 2, 6, 12]))
    def look_at(self, pick: int, looks: int) -> None:
        for _ in range(looks):
            self.cluster.look_at(self.slave(pick))

    @rule(pick=PICK)
    def cut_off(self, pick: int) -> None:
        self.cluster.cut_off(self.slave(pick))

    @rule(pick=PICK)
    def come_back(self, pick: int) -> None:
        self.cluster.come_back(self.slave(pick))

    @rule(pick=PICK)
    def suspect(self, pick: int) -> None:
        self.cluster.suspect(self.slave(pick))

    @rule(pick=PICK)
    def hear(self, pick: int) -> None:
        self.cluster.hear(self.slave(pick))

    # ---- work goes on

    @rule(
        pick=PICK,
        duration_s=st.sampled_from(DURATIONS_S),
        size_bytes=st.sampled_from([0, 1, 50]),
        fails=st.integers(0, 3).map(lambda n: n == 3),
    )
    def end_item(self, pick: int, duration_s: float, size_bytes: int, fails: bool) -> None:
        self.cluster.end_item(self.slave(pick), duration_s, size_bytes, fails)

    @rule(pick=PICK)
    def arrive(self, pick: int) -> None:
        self.cluster.arrive(self.slave(pick))

    @rule(pick=PICK)
    def deliver(self, pick: int) -> None:
        self.cluster.deliver(self.slave(pick))

    @rule()
    def exchange_everything(self) -> None:
        self.cluster.exchange()

    @rule(pick=PICK, number=st.integers(1, 8))
    def run_for_a_while(self, pick: int, number: int) -> None:
        slave = self.slave(pick)
        for _ in range(number):
            self.cluster.end_item(slave, duration_s=0.001)
            self.cluster.exchange()

    @rule()
    def tick(self) -> None:
        self.cluster.tick()

    @invariant()
    def hope_is_a_slave_that_runs_or_may_come(self) -> None:
        if hasattr(self, "cluster"):
            alive = any(slave.is_alive for slave in self.cluster.slaves.values())
            assert self.cluster.scheduler.has_hope == alive

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            check_the_end(self.cluster, self.readers)


SchedulerMachine.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestEveryOrderOfEvents = pytest.mark.timeout(300)(SchedulerMachine.TestCase)
if Coverage.current() is not None:  # (pytest-cov fails at the mark if nothing is measured)
    # measuring coverage would make it several times as long
    TestEveryOrderOfEvents = pytest.mark.no_cover(TestEveryOrderOfEvents)


def walk(
    seed: int, steps: int, kind: type[FakeCluster] = FakeCluster
) -> tuple[FakeCluster, Readers]:
    """Take random steps. Longer than what hypothesis tries, with fewer deaths in between."""
    dice = random.Random(seed)
    cluster = kind(dice.choice([TIGHT, WIDE, TINY]), has_large_tasks=seed % 2 == 0)
    readers = Readers(cluster)
    common = ["end", "arrive", "deliver", "exchange"] * 6 + ["read", "add", "tick"] * 3
    rare = ["open", "close", "slave", "runner", "kill", "leave", "suspect", "hear", "hear", "join"]
    rare += [
        "anew",
        "cancel",
        "cancel",
        "memory",
        "away",
        "back",
        "back",
        "release",
        "deaf",
        "look",
        "look",
        "look",
    ]
    readers.open_context(3, in_order=True)
    cluster.add_ready_slave(relaunchable=True)
    for _ in range(steps):
        slave = dice.choice(list(cluster.slaves.values()))
        contexts = list(cluster.ledger.contexts)
        if not contexts:
            contexts = [readers.open_context(dice.randint(1, 3), dice.random() < 0.5)]
        context = dice.choice(contexts)
        match dice.choice(common + rare):
            case "end":
                how = dice.choice(DURATIONS_S), dice.choice([0, 1, 50]), dice.random() < 0.1
                cluster.end_item(slave, *how)
            case "arrive":
                cluster.arrive(slave)
            case "deliver":
                cluster.deliver(slave)
            case "exchange":
                cluster.exchange(slave)
            case "read":
                readers.by_context[context].take(dice.randint(1, 10))
            case "add":
                cluster.add_tasks(context, dice.choice([1, 5, 40]), dice.random() < 0.2)
            case "tick":
                cluster.tick()
            case "open" if len(contexts) < 4:
                limits = dice.choice([0, 3]), dice.choice([0, 0, 2])
                readers.open_context(dice.randint(1, 3), dice.random() < 0.5, *limits)
            case "anew":
                cluster.begin_anew(context)
            case "close" if dice.random() < 0.3:
                readers.close_context(context)
            case "slave" if sum(s.is_alive for s in cluster.slaves.values()) < 6:
                cluster.join(cluster.add_slave(dice.random() < 0.5))
            case "runner":
                cluster.kill_runner(slave, dice.random() < 0.5)
            case "memory":
                cluster.exceed_memory(slave)
            case "kill" if dice.random() < 0.3:
                cluster.kill_slave(slave, dice.random() < 0.5)
            case "leave" if dice.random() < 0.3:
                cluster.leave(slave)
            case "away":
                cluster.cut_off(slave)
            case "back":
                cluster.come_back(slave)
            case "suspect":
                cluster.suspect(slave)
            case "hear":
                cluster.hear(slave)
            case "join":
                cluster.join(slave)
            case "deaf" if dice.random() < 0.3:
                cluster.grow_deaf(slave)
            case "look":
                for _ in range(dice.choice([1, 4, 12])):
                    cluster.look_at(slave)
            case "cancel":
                cancel_some(cluster, context, dice.randint(0, 20), dice.choice([1, 1, 2, 10]))
            case "release":
                cluster.release_part(context, dice.randint(1, 5))
    return cluster, readers


@pytest.mark.parametrize("first_seed", range(0, 100, 10))
def test_every_task_has_one_outcome_after_a_long_random_walk(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 10):
        check_the_end(*walk(seed, steps=500))
