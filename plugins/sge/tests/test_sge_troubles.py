"""What goes wrong on a cluster is said within seconds: what, how it shows, and what to do."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness_sge import manager_of, pids_of_task, squared, squares, wait_for
from imp_parallel_sge import SGEPESlaveArray, SGEQsubSlaveArray

from imp_parallel_core import LaunchError, Manager, NoSlaveStartedError
from tests.support.grid_engine import Cell
from tests.support.odd_pythons import (
    python_of_another_version,
    python_without_a_network,
    python_without_the_package,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def failure_of(options: str = "", **more: object) -> str:
    """Return what the error says when an array of two can't start; it must say it soon."""
    with manager_of(2, options, **more) as manager:
        context = manager.get_context()
        context.add_task(os.getpid)
        begun = time.monotonic()
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results_unordered())
        assert time.monotonic() - begun < 30.0
    return str(caught.value)


def test_no_qsub_in_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Manager(output=None) as manager, pytest.raises(LaunchError) as caught:
        manager.add_slave(SGEQsubSlaveArray(2))
    assert str(tmp_path) in str(caught.value)
    assert "settings.sh" in str(caught.value)
    assert caught.value.command == ("qsub",)


def test_no_parallel_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PE_HOSTFILE", raising=False)
    with Manager(output=None) as manager, pytest.raises(LaunchError, match="qsub -pe"):
        manager.add_slave(SGEPESlaveArray())


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("-bogus", 2, "invalid option"),
        ("-q 'no such.q'", 1, "no such.q"),
        ("-l nonsense=1", 1, 'unknown resource "nonsense"'),
    ],
)
def test_qsub_refuses_the_options(cluster: Cell, options: str, code: int, words: str) -> None:
    text = failure_of(options)
    assert words in text
    assert f"exit code {code}" in text
    assert f"{Path.cwd()}/.imp_parallel-" in text
    assert options.split()[0] in text


def test_qsub_that_finds_no_qmaster(cluster: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGE_QMASTER_PORT", "1")
    text = failure_of()
    assert "qsub refused" in text
    assert "Connection refused" in text


def test_a_job_in_error_tells_grid_engines_reason(cluster: Cell) -> None:
    text = failure_of("-wd /nowhere/at/all")
    assert "Eqw" in text
    assert "can't chdir to /nowhere/at/all" in text
    assert "qsub -terse" in text


def test_jobs_that_no_queue_takes_are_said_to_wait_and_why(
    cluster: Cell, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "imp_parallel.sge"),
        manager_of(3, "-l arch=nothing-like-it") as manager,
    ):
        wait_until(lambda: caplog.records, 20.0, "a warning")
        message = caplog.records[0].getMessage()
        assert "all 3 slaves" in message
        assert "still queued" in message
        assert "nothing-like-it" in message
        wait_until(lambda: "nothing-like-it" in manager.slaves[0].detail, 20.0, "the detail")
        assert [slave.state for slave in manager.slaves] == ["queued"] * 3


def test_a_held_array_is_said_to_be_held(cluster: Cell) -> None:
    with manager_of(1, "-h") as manager:
        wait_until(lambda: "is held" in manager.slaves[0].detail, 20.0, "the detail")


@pytest.mark.parametrize(
    ("line", "words", "code"),
    [
        ("nonsense_module load imp; {python}", "nonsense_module: command not found", 127),
        ("{python} -c 'raise SystemExit(100)'; {python}", "", 100),
        ("cd /nowhere && {python}", "/nowhere", 1),
    ],
)
def test_a_python_line_that_fails(cluster: Cell, line: str, words: str, code: int) -> None:
    text = failure_of(python=line.format(python=shlex.quote(sys.executable)))
    assert words in text
    assert f"exit code {code}" in text
    assert "slave0.output" in text


def test_a_python_of_another_version(cluster: Cell, tmp_path: Path) -> None:
    text = failure_of(python=python_of_another_version(tmp_path))
    assert "this is Python 3.9" in text
    assert "the master runs Python {}.{}".format(*sys.version_info) in text


def test_a_python_without_the_package(cluster: Cell, tmp_path: Path) -> None:
    text = failure_of(python=python_without_the_package(tmp_path))
    assert "No module named 'imp_parallel_core'" in text
    assert "Install imp-parallel-core for" in text
    assert "/nowhere/at/all" in text
    assert "exit code 1" in text


def test_a_master_that_can_not_be_reached_is_named_with_its_addresses(
    cluster: Cell, tmp_path: Path
) -> None:
    text = failure_of(python=python_without_a_network(tmp_path))
    assert "the master can't be reached" in text
    assert "Network is unreachable" in text
    assert "slave0.output" in text


@pytest.fixture
def without_starter(cluster: Cell) -> Iterator[None]:
    """Have Grid Engine itself start the shell of jobs."""
    cluster.run("qconf", "-rattr", "queue", "starter_method", "NONE", "main.q")
    yield
    cluster.run("qconf", "-rattr", "queue", "starter_method", f"{cluster.base}/starter", "main.q")


def test_a_shell_that_does_not_exist_is_named(cluster: Cell, without_starter: None) -> None:
    text = failure_of("-S /nowhere/at/all/bash")
    assert "Eqw" in text
    assert "/nowhere/at/all/bash" in text


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that has a command of Grid Engine's hang from then on."""

    def hang(name: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("#!/bin/sh\nkill -STOP $$\n")
        (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return hang


class Watchful(Manager):
    heartbeat_timeout = 2.0


def test_a_qstat_that_hangs_hinders_neither_the_tasks_nor_the_end(
    cluster: Cell, hanging: Callable[[str], None]
) -> None:
    with Watchful() as manager:
        manager.add_slave(SGEQsubSlaveArray(3))
        context = manager.get_context()
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_for(manager, "working", "working", "working")
        hanging("qstat")
        for pid in pids_of_task(cluster, 2):  # now qstat is asked
            with contextlib.suppress(ProcessLookupError):  # one may end with another
                os.kill(pid, signal.SIGKILL)
        found += results
        assert sorted(found) == squared(60)
        asked_at = time.monotonic()
        assert len(manager.slaves) == 3
        assert time.monotonic() - asked_at < 1.0
        asked_at = time.monotonic()
    assert time.monotonic() - asked_at < 8.0
    wait_until(lambda: not cluster.jobs(), 20.0, "the deletion of the jobs")


def test_a_qdel_that_hangs_does_not_keep_the_script(
    cluster: Cell, hanging: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    with manager_of(2, "-h") as manager:
        wait_for(manager, "queued", "queued")
        hanging("qdel")
        asked_at = time.monotonic()
    assert time.monotonic() - asked_at < 8.0
    assert "still ending" in caplog.text
    cluster.try_run("qdel", "-u", "*")
    wait_until(lambda: not cluster.jobs(), what="an empty queue")
