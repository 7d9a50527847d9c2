"""What goes wrong on a cluster is said within seconds: what, how it shows, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from imp_parallel_batch import Description
from imp_parallel_sge import SGEPESlaveArray
from imp_parallel_sge._system import GridEngine

from imp_parallel_core import CommandResult, LaunchError, Manager
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.checking import check, errors_of
from tests.support.grid_engine import Cell

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
    text = checked.failure("submitted")
    assert "the job has not been submitted within the 3 s of --limit. " in text
    assert "qsub could not reach" in text
    assert "Try again when qstat answers" in text
    assert "Do first what is said above about the batch system" in text
    assert "only slow" not in text
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
