"""What goes wrong on a cluster is said within seconds: what, how it shows, and what to do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness_slurm import manager_of
from imp_parallel_slurm import SlurmSlaveArray
from imp_parallel_slurm._slurm import Slurm

from imp_parallel_core import Manager
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.slaves import expression_of, squared, squares
from tests.support.checking import check, errors_of
from tests.support.slurm import LARGEST_ARRAY
from tests.support.slurm import Slurm as Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)
NO_ANSWER = "Socket timed out on send/recv operation"


class Credulous(Slurm):
    """A plugin that does not notice which words sbatch takes for a script."""

    def check_options(self, words: Sequence[str]) -> None:
        pass


def test_an_array_that_is_larger_than_the_cluster_allows(batch: BatchCluster) -> None:
    for text in errors_of(batch.array(LARGEST_ARRAY + 1), step="submitted"):
        assert "Invalid job array specification" in text
        assert "MaxArraySize" in text


def test_tasks_that_ended_well_without_a_slave_are_an_error_within_seconds(
    batch: BatchCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlurmSlaveArray, "system", Credulous())
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\ntrue\n")
    for text in errors_of(batch.array(2, str(script))):
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


def test_an_array_that_slurmctld_takes_after_sbatch_has_given_up_is_submitted_once(
    slurm: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with Manager() as manager:
        context = manager.get_context()
        squares(context, 8)
        with slurm.silent_controller():
            manager.add_slave(SlurmSlaveArray(2))
            wait_until(lambda: NO_ANSWER in caplog.text, 60.0, "that sbatch gives up")
        assert sorted(context.get_results_unordered()) == squared(8)
        assert len({job.partition("_")[0] for job in slurm.jobs()}) == 1
    assert "is deleted" not in caplog.text


def test_a_check_whose_sbatch_gives_up_as_slurmctld_is_silent_says_that_nothing_is_submitted(
    slurm: Cluster, batch: BatchCluster
) -> None:
    with slurm.silent_controller():
        begun = time.monotonic()
        checked = check(expression_of(batch), "--limit", "12")
        assert time.monotonic() - begun < 30.0
    assert checked.names("failed") == ["submitted", "gone"]
    said = checked.named("submitted")["text"]
    assert "the job has not been submitted within the 12 s of --limit. " in said
    assert "sbatch could not reach slurmctld, the controller: exit code 1" in said
    assert NO_ANSWER in said
    assert "Try again when scontrol ping says" in said
    advice = checked.named("submitted")["advice"]
    assert "Do first what is said above about the batch system" in advice
    left = checked.named("gone")["text"]
    assert "it is not known whether sbatch has submitted job " in left
    assert "(squeue did not end within 3 s)" in left
    assert "look for it with squeue --me --name" in left
    wait_until(lambda: not slurm.jobs(), 60.0, "the end of the job, which finds no run")


def test_a_script_that_ends_while_slurmctld_is_silent_names_the_job_that_may_come(
    slurm: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with slurm.silent_controller(), Manager() as manager:
        manager.add_slave(SlurmSlaveArray(2))
        wait_until(lambda: NO_ANSWER in caplog.text, 60.0, "that sbatch gives up")
    assert "which may come to be there: look for it with squeue --me --name" in caplog.text
    wait_until(lambda: not slurm.jobs(), 60.0, "the end of the job, which finds no run")
