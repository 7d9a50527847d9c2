"""What observers are told is what the scheduler knows, whatever happens and in whatever order."""

from __future__ import annotations

from itertools import groupby
from types import SimpleNamespace
from typing import Any

import pytest

from imp_parallel_core import Event
from imp_parallel_core._engine.telling import Telling
from imp_parallel_core._engine.witness import Witness
from imp_parallel_core._fleet.state import SlaveState
from imp_parallel_core._scheduler.actions import (
    Action,
    Deliver,
    SendSetup,
    SendTasks,
    TooManyFailures,
)
from imp_parallel_core._scheduler.policy import Policy
from imp_parallel_core._scheduler.tasks import Task
from tests.scheduler.model import FakeCluster, FakeSlave
from tests.scheduler.test_promises_of_the_scheduler import check_the_end, walk
from tests.support.rebuilt_run import RebuiltRun

IDLE = SimpleNamespace(state=SlaveState.IDLE, detail="", host="")


class Records(dict[int, Any]):
    """A record for each slave, whose life says nothing of what it is at."""

    def __missing__(self, slave: int) -> Any:
        return SimpleNamespace(name=f"slave {slave}", life=IDLE)


class WitnessedCluster(FakeCluster):
    """A cluster whose scheduler tells an observer; what it decides is told as by the performer."""

    def __init__(self, policy: Policy | None = None, *, has_large_tasks: bool = False) -> None:
        super().__init__(policy, has_large_tasks=has_large_tasks)
        self.run = RebuiltRun()
        self.opened: dict[int, Any] = {}
        telling = Telling(self)  # type: ignore[arg-type]  # it has the one method that is called
        telling.records = Records()
        telling.call_at = lambda when, function: None  # check() calls it
        self.scheduler = self.witness = Witness(self.policy, telling)

    def tell(self, event: Event, tasks: int = 0, outcomes: int = 0) -> None:
        """Be the observers."""
        self.run.imp_parallel_observe([event])

    def add_tasks(self, context: int, number: int = 1, is_reversed: bool = False) -> list[Task]:
        served = SimpleNamespace(id=context, name=f"context {context}", tasks=0)
        served = self.opened.setdefault(context, served)
        served.tasks += number
        self.witness.telling.added(served, number)
        return super().add_tasks(context, number)  # the engine gives ids in the order of adding

    def _tell(self, slave: FakeSlave, event: str, *arguments: Any) -> None:
        super()._tell(slave, event, *arguments)
        if event in ("runner_lost", "memory_exceeded", "slave_lost", "slave_restarted"):
            self.witness.tell_state(slave.id)  # its life has changed: the engine tells that

    def _perform(self, actions: list[Action]) -> None:
        delivered = [action for action in actions if isinstance(action, Deliver)]
        for _, some in groupby(delivered, lambda one: one.outcome.slave):
            self.witness.tell_delivered(list(some))
        super()._perform(actions)
        for action in actions:
            if isinstance(action, SendTasks):
                self.witness.tell_sent(action)
            elif isinstance(action, SendSetup):
                self.witness.tell_state(action.slave)
            elif isinstance(action, TooManyFailures):
                self.witness.tell_forgotten(action.context)
        if self.run.problem is not None:
            raise self.run.problem

    def check(self) -> None:
        """Assert that the observer knows what the scheduler knows."""
        self.witness.telling.say_added()
        run = self.run
        for id, slave in self.scheduler._slaves.items():
            held = [
                (what.context, what.id)
                for what in slave.items.values()
                if isinstance(what, Task) and what.context in self.scheduler._contexts
            ]
            assert run.held[f"slave {id}"] == held
            if f"slave {id}" in run.states:
                assert run.is_at_work(f"slave {id}") == bool(slave.items)
        for id, context in self.scheduler._contexts.items():
            assert run.unfinished(id) == len(context.fresh) + context.running
        told = {task: done.outcome for (_, task), done in run.done.items()}
        assert told == {task: outcome.kind.value for task, outcome in self.ledger.outcomes.items()}
        assert run.closed == self.ledger.closed & self.opened.keys()


@pytest.mark.parametrize("first_seed", range(0, 40, 10))
def test_an_observer_knows_what_the_scheduler_knows_after_a_long_random_walk(
    first_seed: int,
) -> None:
    for seed in range(first_seed, first_seed + 10):
        for steps in (25, 500):
            cluster, readers = walk(seed, steps, WitnessedCluster)
            assert isinstance(cluster, WitnessedCluster)
            cluster.check()
            check_the_end(cluster, readers)
            cluster.check()
