"""Whatever becomes of jobs, daemons or the master: no task is lost, and nothing is left behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness_slurm import Impatient, Log, manager_of

from tests.support.as_root import signal_as_root
from tests.support.batch_suite.slaves import squared, squares, wait_for
from tests.support.slurm import Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


def test_a_warning_reaches_the_slave_although_slurm_sends_it_to_the_script_alone(
    slurm: Slurm, tmp_path: Path, log: Log
) -> None:
    with manager_of(2) as manager:
        wait_for(manager, "idle", "idle")  # a late one would find all tasks done
        context = manager.get_context(max_attempts=1)
        log.add_tasks(context, 40, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: all(slave.tasks_done for slave in manager.slaves))
        # as --signal=USR1@60 has it done
        slurm.run("scancel", "--batch", "--signal=USR1", f"{slurm.newest_job()}_1")
        found += results
        assert len(found) == 40
        wait_until(lambda: manager.slaves[0].state == "gone", what=str(manager.slaves))
    assert log.numbers() == list(range(40)), "one was run twice"
    assert "received SIGUSR1" in (tmp_path / "slave0.output").read_text()


def test_slaves_work_on_while_slurmctld_is_away(
    slurm: Slurm, caplog: pytest.LogCaptureFixture
) -> None:
    with manager_of(3, kind=Impatient) as manager:
        wait_for(manager, "idle", "idle", "idle")
        context = manager.get_context()
        slurm.stop_controller()
        try:
            squares(context, 60, 0.1)
            results = context.get_results_unordered()
            found = [next(results)]
            signal_as_root(signal.SIGKILL, *slurm.pids_of_task(2))  # now squeue is asked
            found += results
            assert sorted(found) == squared(60)
            wait_until(lambda: "can't be looked at" in caplog.text, 60.0, "a warning")
        finally:
            slurm.start_controller()
