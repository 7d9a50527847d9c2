"""imp-parallel check where Grid Engine's commands hang, or forget the job."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness_sge import FORGETFUL, hanging, hanging_qmaster, submissions_in

from tests.support.batch_suite.cluster import BatchCluster
from tests.support.checking import CHAIN, check, script_of_check
from tests.support.grid_engine import Cell
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until
from tests.support.watched_check import WatchedCheck

__all__ = ["hanging"]  # a fixture

pytestmark = pytest.mark.timeout(180)

EXPRESSION = "SGEQsubSlaveArray(1)"
UNKNOWN = "it is not known whether qsub has submitted job "  # qsub is ended before it has answered


def test_a_check_tells_of_a_qmaster_that_hangs_and_goes_on_when_it_answers(
    cluster: Cell, scripts: Scripts
) -> None:
    with hanging_qmaster(cluster):
        checking = WatchedCheck(scripts.start(script_of_check(EXPRESSION, "--limit", "100")))
        checking.wait_for("qsub has not answered for ", limit_s=20.0)
    assert checking.finish() == 0, checking.text
    wait_until(lambda: not cluster.jobs(), 60.0, "an empty queue")


def test_a_check_that_a_qmaster_lets_hang_fails_at_its_limit_and_leaves_no_qsub(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    with hanging_qmaster(cluster):
        checking = WatchedCheck(scripts.start(script_of_check(EXPRESSION, "--limit", "8")))
        assert checking.finish(last_words=UNKNOWN) == 1, checking.text
        assert "qsub has not answered for " in checking.found("submitted")
        assert not submissions_in(tmp_path)
    wait_until(lambda: not cluster.jobs(), 60.0, "an empty queue")


def test_a_ctrl_c_ends_a_check_that_a_qmaster_lets_hang(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    with hanging_qmaster(cluster):
        process = scripts.start(script_of_check(EXPRESSION))
        checking = WatchedCheck(process)
        checking.wait_for("qsub has not answered for ", limit_s=20.0)
        process.send_signal(signal.SIGINT)
        assert checking.finish(last_words=UNKNOWN) == 130
        assert "takes long to end" not in checking.text  # who types that waits for no last words
        wait_until(lambda: not submissions_in(tmp_path), what="the end of qsub")
        assert list(tmp_path.glob(".imp_parallel-*")) == []
    wait_until(lambda: not cluster.jobs(), 60.0, "an empty queue")


def test_a_check_goes_through_although_qstat_hangs_and_says_which_job_may_be_left(
    batch: BatchCluster, hanging: Callable[[str], None]
) -> None:
    hanging("qstat")
    checked = check(EXPRESSION)
    assert checked.names("ok") == CHAIN
    text = checked.failure("gone")
    assert "qstat has not answered for " in text
    assert "Delete it with: qdel" in text
    assert "still ending" not in text
    wait_until(lambda: not batch.jobs(), 60.0, "the end of the job, whose slave has left")


def test_a_check_whose_job_can_not_be_deleted_says_what_is_left_and_how_to_delete_it(
    cluster: Cell, hanging: Callable[[str], None]
) -> None:
    hanging("qdel")
    checked = check("SGEQsubSlaveArray(1, '-h')", "--limit", "6")
    assert checked.exit_code == 1
    assert checked.names("failed") == ["started", "gone"]
    assert "Delete it with: qdel" in checked.named("gone")["text"]
    cluster.try_run("qdel", "-u", "*")
    wait_until(lambda: not cluster.jobs(), what="an empty queue")


@pytest.fixture
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have qstat list no job; return a file with a line for each time that it has been asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "qstat").write_text(FORGETFUL)
    (folder / "qstat").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return tmp_path / "asked"


def test_a_check_of_a_waiting_job_that_qstat_forgets_waits_for_it_and_deletes_it(
    batch: BatchCluster, forgetful: Path
) -> None:
    checked = check("SGEQsubSlaveArray(1, '-h')", "--limit", "12")
    assert "nothing has started within the 12 s of --limit. queued: " in checked.failure("started")
    assert forgetful.read_text().count("asked") > 2
    wait_until(lambda: not batch.jobs(), what="an empty queue")


def test_a_check_of_a_job_that_qstat_forgets_goes_through_the_whole_chain(
    batch: BatchCluster, forgetful: Path
) -> None:
    checked = check(EXPRESSION)
    assert checked.exit_code == 0, checked.steps
    assert forgetful.exists()
