"""A job's time limit is a leave that was announced: no task is cut off that has time to end."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness_slurm import manager_of
from imp_parallel_slurm import SlurmSlaveArray
from imp_parallel_slurm._slurm import Slurm as System

from imp_parallel_core import CommandResult
from tests.support.batch_suite.slaves import wait_for
from tests.support.slurm import Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


def test_slaves_leave_when_their_time_is_up_and_their_tasks_are_done_elsewhere(
    slurm: Slurm, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def task(number: int) -> int:
        import time

        with log.open("a") as file:
            file.write(f"{number}\n")
        time.sleep(0.2)
        return number

    with manager_of(1, "--time=1 --signal=USR1@20") as manager:
        wait_for(manager, "idle")
        warned = f"{slurm.newest_job()}_1"
        manager.add_slave(SlurmSlaveArray(2, "--time=1"))
        wait_for(manager, "idle", "idle", "idle")
        over, going_on = f"{slurm.newest_job()}_1", f"{slurm.newest_job()}_2"
        # Slurm looks for those that are over their time every 30 s
        for job, end in ((warned, "now+45"), (over, "now+2"), (going_on, "now+1hour")):
            slurm.administer("scontrol", "update", f"jobid={job}", f"EndTime={end}")
        context = manager.get_context(max_attempts=1)
        count = 0
        results = set()
        while [slave.state for slave in manager.slaves[:2]] != ["gone", "gone"]:
            for _ in range(9):
                context.add_task(task, count)
                count += 1
            results |= set(context.get_results_unordered())
        assert results == set(range(count))
    noted = sorted(map(int, log.read_text().split()))
    assert noted == list(range(count)), "one ran twice"
    assert "received SIGUSR1" in (tmp_path / "slave0.output").read_text()
    assert "received SIGTERM" in (tmp_path / "slave1.output").read_text()
    assert not (tmp_path / "slave2.output").exists()


def test_how_a_job_has_ended_whose_script_never_began_is_known(slurm: Slurm) -> None:
    """What the kit asks when a script has left no exit code; slurmctld keeps it for a while."""
    options = ("--parsable", "--array=1-2", "--output=/nowhere/%a")
    job = slurm.run("sbatch", *options, "--wrap=true").strip()
    wait_until(lambda: not slurm.jobs(), 30.0, "the end")
    system = System()
    done = subprocess.run(
        list(system.accounting(job).argv), capture_output=True, text=True, check=True
    )
    ends = system.ends_in(CommandResult(0, done.stdout, done.stderr))
    assert sorted(end.task for end in ends) == [1, 2]
    (words,) = {end.words for end in ends}
    # (the latter since Slurm 26.05)
    assert words in ("FAILED: JobLaunchFailure", "FAILED: RaisedSignal:53(Real-time signal 19)")
