"""Whole runs with many slaves that die and come back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import pytest

from imp_parallel_core._scheduler.actions import SendSetup, SendTasks
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._scheduler.tasks import Outcome, OutcomeKind, Task

from .model import unstarted
from .simulation import POISON, Simulation
from .simulation_of_lives import LifeSimulation


def run(seed: int, slaves: int, tasks: int, bad: Collection[int] = ()) -> Simulation:
    simulation = Simulation(seed, slaves, tasks, bad)
    simulation.run()
    check(simulation, tasks)
    return simulation


def check(simulation: Simulation, tasks: int) -> None:
    """Check that each task has one outcome, and that the right ones were given up."""
    assert simulation.deliveries == b"\0" + b"\1" * tasks, "tasks without an outcome, or with two"
    assert unstarted(simulation.scheduler) == 0
    assert set(range(POISON, tasks + 1, POISON)) <= set(simulation.lost)
    assert len(simulation.lost) <= tasks // POISON + 10, "charged for the deaths of others"
    assert simulation.given_up <= simulation.grown_deaf
    assert 0 < simulation.cancelled <= tasks // 50


def test_the_tasks_of_slaves_that_grow_deaf_are_done_by_others() -> None:
    simulation = run(seed=3, slaves=100, tasks=50_000)
    assert simulation.given_up > 0
    assert simulation.grown_deaf - simulation.given_up <= 1, "but for one without a task left"


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (run(seed=7, slaves=100, tasks=20_000) for _ in range(2))
    assert first.digest.hexdigest() == second.digest.hexdigest()
    assert first.now == second.now


def test_another_seed_gives_another_run() -> None:
    first, second = (run(seed, slaves=100, tasks=5_000) for seed in (1, 2))
    assert first.digest.hexdigest() != second.digest.hexdigest()


@pytest.mark.parametrize("seed", range(2))
def test_slaves_that_are_lost_cut_off_and_launched_again_cost_no_task(seed: int) -> None:
    simulation = LifeSimulation(seed, slaves=100, tasks=20_000)
    simulation.run()
    check(simulation, 20_000)
    seen = simulation.seen
    for event in ("slave_suspected", "slave_heard", "slave_away", "slave_back", "runner_lost"):
        assert seen[event] > 0, event
    assert 0 < seen["launch_again"] <= seen["slave_lost"]


@pytest.mark.parametrize("seed", range(3))
def test_slaves_on_bad_machines_cost_no_task_that_others_can_do(seed: int) -> None:
    simulation = run(seed, slaves=40, tasks=20_000, bad=range(0, 40, 4))
    poison = set(range(POISON, 20_001, POISON))
    assert len(set(simulation.lost) - poison) <= 2, "those whose runners died elsewhere too"
    assert simulation.begun_on_bad < 500, "they are tried ever more seldom"


def test_the_default_credit_keeps_more_than_ten_thousand_slaves_busy() -> None:
    slaves = range(12_000)
    scheduler = Scheduler()
    scheduler.context_opened(1)
    for slave in slaves:
        scheduler.slave_added(slave)
        scheduler.runner_ready(slave, 0.0)
    busy = set()
    for setup in scheduler.tasks_added([Task(1, (), id=id) for id in range(20_000)], 0.0):
        assert isinstance(setup, SendSetup)
        done = Outcome(OutcomeKind.VALUE, (), setup.slave)
        actions = scheduler.item_ended(setup.slave, setup.item, done, 1.0, 1.0)
        busy |= {action.slave for action in actions if isinstance(action, SendTasks)}
    assert busy == set(slaves)


@pytest.mark.timeout(300)
def test_ten_thousand_slaves_run_a_million_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    # in a process of its own: measuring coverage would make it several times as long
    program = (
        "from tests.scheduler.test_simulation import run\n"
        "simulation = run(seed=2024, slaves=10_000, tasks=1_000_000)\n"
        "print(f'{simulation.events:,} events of {simulation.now:,.0f} s')"
    )
    started_at = time.monotonic()
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    duration_s = time.monotonic() - started_at
    assert done.returncode == 0, done.stderr
    with capsys.disabled():
        print(f"\n{done.stdout.strip()} in {duration_s:.1f} s")
