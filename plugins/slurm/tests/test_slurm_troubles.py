"""What goes wrong on a cluster is said within seconds: what, how it shows, and what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness_slurm import manager_of
from imp_parallel_slurm import SlurmSlaveArray
from imp_parallel_slurm._slurm import Slurm

from imp_parallel_core import Manager, NoSlaveStartedError
from tests.support.slurm import LARGEST_ARRAY
from tests.support.slurm import Slurm as Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


class Credulous(Slurm):
    """A plugin that does not notice which words sbatch takes for a script."""

    def check_options(self, words: Sequence[str]) -> None:
        pass


class CredulousArray(SlurmSlaveArray):
    system = Credulous()


def failure_of(count: int = 2, array: SlurmSlaveArray | None = None) -> str:
    """Return what the error says when an array can't start; it must say it soon."""
    with Manager() as manager:
        manager.add_slave(array or SlurmSlaveArray(count))
        context = manager.get_context()
        context.add_task(os.getpid)
        begun = time.monotonic()
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results_unordered())
        assert time.monotonic() - begun < 50.0
    return str(caught.value)


def test_an_array_that_is_larger_than_the_cluster_allows(slurm: Cluster) -> None:
    text = failure_of(count=LARGEST_ARRAY + 1)
    assert "Invalid job array specification" in text
    assert "MaxArraySize" in text


def test_tasks_that_ended_well_without_a_slave_are_an_error_within_seconds(
    slurm: Cluster, tmp_path: Path
) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\ntrue\n")
    text = failure_of(array=CredulousArray(2, str(script)))
    assert "has gone from the queue: exit code 0, before its script had begun" in text


def test_variables_that_change_what_slurms_commands_do_are_passed_over(
    slurm: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SBATCH_WAIT": "1",
        "SQUEUE_PARTITION": "closed",
        "SQUEUE_FORMAT": "%i",
        "SQUEUE_FORMAT2": "jobid",
        "SQUEUE_STATES": "suspended",
        "SCANCEL_PARTITION": "closed",
        "SCANCEL_STATE": "suspended",
    }.items():
        monkeypatch.setenv(name, value)
    with manager_of(2, "--hold") as manager:
        wait_until(lambda: "JobHeldUser" in manager.slaves[0].detail, 30.0, "the detail")
