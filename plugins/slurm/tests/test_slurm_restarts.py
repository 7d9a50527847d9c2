"""A task that Slurm queues again takes its place again, and a lost node costs no task."""

from __future__ import annotations

from collections import Counter

import pytest
from harness_slurm import Impatient, Log, manager_of

from tests.support.batch_suite.slaves import wait_for
from tests.support.slurm import NODES, SLOTS, Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("is_pushed_out", [False, True], ids=["requeued", "pushed_out"])
def test_a_task_that_is_queued_again_is_a_new_start_and_costs_no_task(
    slurm: Slurm, log: Log, is_pushed_out: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with manager_of(SLOTS + 1, "--requeue") as manager:
        context = manager.get_context(max_attempts=1)
        wait_for(manager, *["idle"] * (SLOTS + 1))
        log.add_tasks(context, 40, 0.1)
        first = list(context.get_results_unordered())
        if is_pushed_out:
            slurm.run(
                *("sbatch", "-p", "urgent", f"--nodelist={NODES[0]}", f"--cpus-per-task={SLOTS}"),
                *("--output=/dev/null", "--wrap=true"),
            )
        else:
            slurm.run("scontrol", "requeue", f"{slurm.newest_job()}_1")
        again: list[tuple[str, str]] = []
        while ("1", "1") not in again:  # the first task's second start
            log.add_tasks(context, 20, 0.1)
            again += context.get_results_unordered()
        assert len(first) == 40
        assert "has been started anew" in caplog.text
        wait_for(manager, *["idle"] * (SLOTS + 1))
    counts = Counter(log.numbers())
    rounds = len(again) // 20
    assert all(counts[number] == rounds + 1 for number in range(20)), "one was run twice"


def test_the_last_slave_that_leaves_since_its_task_is_queued_again_takes_its_place_again(
    slurm: Slurm, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    with manager_of(1, "--requeue") as manager:
        context = manager.get_context(max_attempts=1)
        wait_for(manager, "idle")
        # the slave is idle, so it leaves before it is killed
        slurm.run("scontrol", "requeue", f"{slurm.newest_job()}_1")
        wait_until(lambda: " leaves: it received SIGTERM" in caplog.text, 60.0, "the slave's leave")
        log.add_tasks(context, 5, 0.1)
        assert list(context.get_results_unordered()) == [("1", "1")] * 5
        assert "waits in a queue again" in caplog.text
        assert "has been started anew" in caplog.text
        assert "lost " not in caplog.text
    assert log.numbers() == list(range(5))


def test_a_node_that_is_lost_costs_no_task(slurm: Slurm, log: Log) -> None:
    with manager_of(2 * SLOTS, "--no-requeue", kind=Impatient) as manager:
        context = manager.get_context()
        log.add_tasks(context, 120, 0.2)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: len(log.at_work()) == 2 * SLOTS, 60.0, "work in all slaves")
        slurm.stop_node(NODES[0])
        try:
            found += results
            assert len(found) == 120
            twice = [number for number, count in Counter(log.numbers()).items() if count > 1]
            assert len(twice) <= SLOTS, "more ran twice than had begun on the node"
            reason = f"reason={NODES[0]} is lost"
            slurm.administer("scontrol", "update", f"nodename={NODES[0]}", "state=down", reason)
            lost = ["gone"] * SLOTS + ["idle"] * SLOTS
            wait_until(
                lambda: sorted(slave.state for slave in manager.slaves) == lost,
                60.0,
                f"{manager.slaves}",
            )
        finally:
            slurm.start_node(NODES[0])


def test_slaves_of_a_node_that_hangs_start_anew_elsewhere_and_those_that_come_back_find_it_so(
    slurm: Slurm, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    with manager_of(SLOTS + 2, "--requeue", kind=Impatient) as manager:
        context = manager.get_context()
        wait_for(manager, *["idle"] * (SLOTS + 2))
        log.add_tasks(context, 40, 0.2)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: len(log.at_work()) == SLOTS + 2, 60.0, "work in all slaves")
        with slurm.hanging(NODES[0]):
            found += results
            while "1" not in {restarts for _, restarts in found}:
                log.add_tasks(context, 10, 0.1)
                found += context.get_results_unordered()
        assert "has been started anew" in caplog.text
        log.add_tasks(context, 40, 0.1)
        assert len(list(context.get_results_unordered())) == 40
    assert set(log.numbers()) == set(range(40))
