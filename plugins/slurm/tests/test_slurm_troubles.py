"""What goes wrong on a cluster is said within seconds: what, how it shows, and what to do."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from pathlib import Path

import pytest
from harness_slurm import manager_of
from imp_parallel_slurm import SlurmSlaveArray

from imp_parallel_core import LaunchError, Manager, NoSlaveStartedError
from tests.support.odd_pythons import (
    python_of_another_version,
    python_without_a_network,
    python_without_the_package,
)
from tests.support.slurm import LARGEST_ARRAY, Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def failure_of(options: str = "", count: int = 2, python: str | None = None) -> str:
    """Return what the error says when an array can't start; it must say it soon."""
    with manager_of(count, options, python=python) as manager:
        context = manager.get_context()
        context.add_task(os.getpid)
        begun = time.monotonic()
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results_unordered())
        assert time.monotonic() - begun < 60.0
    return str(caught.value)


def test_no_sbatch_in_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Manager(output=None) as manager, pytest.raises(LaunchError) as caught:
        manager.add_slave(SlurmSlaveArray(2))
    assert str(tmp_path) in str(caught.value)
    assert "Slurm's commands" in str(caught.value)
    assert caught.value.command == ("sbatch",)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--bogus", 255, "unrecognized option '--bogus'"),
        ("-p 'no such'", 1, "invalid partition specified: no such"),
        ("--mem=1T", 1, "Memory specification can not be satisfied"),
    ],
)
def test_sbatch_refuses_the_options(slurm: Slurm, options: str, code: int, words: str) -> None:
    text = failure_of(options)
    assert "sbatch refused the array" in text
    assert words in text
    assert f"exit code {code}" in text
    assert options.split()[0] in text


def test_an_array_that_is_larger_than_the_cluster_allows(slurm: Slurm) -> None:
    text = failure_of(count=LARGEST_ARRAY + 1)
    assert "Invalid job array specification" in text
    assert "MaxArraySize" in text


def test_a_slurmctld_that_is_not_there(slurm: Slurm, tmp_path: Path) -> None:
    slurm.stop_controller()
    try:
        text = failure_of()
    finally:
        slurm.start_controller()
    assert "sbatch refused the array" in text
    assert "Unable to contact slurm controller" in text
    assert list(tmp_path.glob(".imp_parallel-*")) == []


def test_jobs_that_no_partition_takes_are_said_to_wait_and_why(
    slurm: Slurm, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "imp_parallel.slurm"),
        manager_of(3, "-p closed") as manager,
    ):
        wait_until(lambda: caplog.records, 30.0, "a warning")
        message = caplog.records[0].getMessage()
        assert "all 3 slaves" in message
        assert "still queued" in message
        assert "PartitionDown" in message
        wait_until(lambda: "PartitionDown" in manager.slaves[0].detail, 30.0, "the detail")
        assert [slave.state for slave in manager.slaves] == ["queued"] * 3


def test_a_held_array_is_said_to_be_held(slurm: Slurm) -> None:
    with manager_of(1, "--hold") as manager:
        wait_until(
            lambda: "PENDING (is held): JobHeldUser" in manager.slaves[0].detail, 30.0, "the detail"
        )


@pytest.mark.parametrize(
    ("line", "words", "code"),
    [
        ("nonsense_module load imp; {python}", "nonsense_module: command not found", 127),
        ("cd /nowhere && {python}", "/nowhere", 1),
    ],
)
def test_a_python_line_that_fails(slurm: Slurm, line: str, words: str, code: int) -> None:
    text = failure_of(python=line.format(python=shlex.quote(sys.executable)))
    assert words in text
    assert f"exit code {code}" in text
    assert "slave0.output" in text


def test_a_python_that_is_not_there(slurm: Slurm) -> None:
    text = failure_of(python="/nowhere/at/all/python3")
    assert "/nowhere/at/all/python3" in text
    assert "exit code 127" in text


def test_a_python_of_another_version(slurm: Slurm, tmp_path: Path) -> None:
    text = failure_of(python=python_of_another_version(tmp_path))
    assert "this is Python 3.9" in text


def test_a_python_without_the_package(slurm: Slurm, tmp_path: Path) -> None:
    text = failure_of(python=python_without_the_package(tmp_path))
    assert "No module named 'imp_parallel_core'" in text
    assert "exit code 1" in text


def test_a_master_that_can_not_be_reached_is_named_with_its_addresses(
    slurm: Slurm, tmp_path: Path
) -> None:
    text = failure_of(python=python_without_a_network(tmp_path))
    assert "the master can't be reached" in text
    assert "Network is unreachable" in text
    assert "slave0.output" in text


def test_variables_that_change_what_slurms_commands_do_are_passed_over(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch
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
