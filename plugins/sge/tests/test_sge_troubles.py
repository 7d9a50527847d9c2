"""What goes wrong on a cluster is said within seconds: what, how it shows, and what to do."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from harness_sge import hanging, manager_of, pids_of_task
from imp_parallel_batch import Description
from imp_parallel_sge import SGEPESlaveArray, SGEQsubSlaveArray
from imp_parallel_sge._system import GridEngine

from imp_parallel_core import CommandResult, LaunchError, Manager
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.slaves import squared, squares, wait_for
from tests.support.checking import check, errors_of
from tests.support.grid_engine import Cell
from tests.support.waiting import wait_until

__all__ = ["hanging"]  # a fixture

pytestmark = pytest.mark.timeout(120)


def test_no_parallel_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PE_HOSTFILE", raising=False)
    with Manager(output=None) as manager, pytest.raises(LaunchError, match="qsub -pe"):
        manager.add_slave(SGEPESlaveArray())
    assert "qsub -pe" in check("SGEPESlaveArray()").failure("checked")


def test_where_qstat_gives_no_reason_a_dry_run_of_the_scheduler_does(
    cluster: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a site where schedd_job_info is off."""
    plain = GridEngine.descriptions_in

    def without_reasons(self: GridEngine, done: CommandResult, asked: str) -> Sequence[Description]:
        return [each._replace(reason="") for each in plain(self, done, asked)]

    monkeypatch.setattr(GridEngine, "descriptions_in", without_reasons)
    checked = check("SGEQsubSlaveArray(1, '-l arch=nothing-like-it')", "--limit", "10")
    assert "still queued" in checked.said
    for text in (checked.said, checked.failure("started")):
        assert "arch=nothing-like-it) cannot run at host" in text


def test_a_check_while_nobody_reaches_the_qmaster_says_so_and_that_the_options_may_be_right(
    batch: BatchCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGE_QMASTER_PORT", "1")
    checked = check("SGEQsubSlaveArray(1)", "--limit", "3")
    assert "qsub could not reach" in checked.failure("started")
    assert batch.said_of_nobody in checked.said
    assert "This says nothing about the options. Try again when" in checked.said


def test_a_job_in_error_tells_grid_engines_reason(batch: BatchCluster) -> None:
    for text in errors_of(batch.array(2, "-wd /nowhere/at/all")):
        assert "Eqw" in text
        assert "can't chdir to /nowhere/at/all" in text
        assert "qsub -terse" in text


@pytest.fixture
def without_starter(cluster: Cell) -> Iterator[None]:
    """Have Grid Engine itself start the shell of jobs."""
    cluster.run("qconf", "-rattr", "queue", "starter_method", "NONE", "main.q")
    yield
    cluster.run("qconf", "-rattr", "queue", "starter_method", f"{cluster.base}/starter", "main.q")


def test_a_shell_that_does_not_exist_is_named(batch: BatchCluster, without_starter: None) -> None:
    for text in errors_of(batch.array(2, "-S /nowhere/at/all/bash")):
        assert "Eqw" in text
        assert "/nowhere/at/all/bash" in text


class Watchful(Manager):
    heartbeat_timeout = 2.0


def test_a_qstat_that_hangs_hinders_neither_the_tasks_nor_the_end(
    cluster: Cell, hanging: Callable[[str], None]
) -> None:
    with Watchful() as manager:
        manager.add_slave(SGEQsubSlaveArray(3))
        wait_for(manager, "idle", "idle", "idle")
        context = manager.get_context()
        hanging("qstat")
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
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
    assert "Delete it with: qdel" in caplog.text
    cluster.try_run("qdel", "-u", "*")
    wait_until(lambda: not cluster.jobs(), what="an empty queue")
