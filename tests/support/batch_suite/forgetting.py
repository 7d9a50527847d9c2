"""A batch system that lists no job for a while, as where it answers from a cache."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.commands import StandIns
from tests.support.batch_suite.slaves import expression_of
from tests.support.checking import check
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until

__all__ = [
    "forgetful",  # a fixture
    "test_a_check_of_a_job_that_is_not_listed_goes_through_the_whole_chain",
    "test_a_check_of_a_waiting_job_that_is_not_listed_waits_for_it_and_deletes_it",
    "test_a_waiting_array_that_is_not_listed_is_waited_for_and_deleted_at_the_end",
]

_HELD = """
    import os
    from imp_parallel_core import Manager, {array}

    with Manager() as manager:
        manager.add_slave({array}(2, {held!r}))
        context = manager.get_context()
        context.add_task(os.getpid)
        list(context.get_results_unordered())
"""


@pytest.fixture
def forgetful(batch: BatchCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have no job listed; return a file with a line for each time that the list is asked for."""
    StandIns(tmp_path, monkeypatch).put(batch.array.system.programs[1], batch.forgetful)
    return tmp_path / "asked"


def test_a_check_of_a_waiting_job_that_is_not_listed_waits_for_it_and_deletes_it(
    batch: BatchCluster, forgetful: Path
) -> None:
    checked = check(expression_of(batch, batch.held), "--limit", "12")
    assert "nothing has started within the 12 s of --limit. queued: " in checked.failure("started")
    assert forgetful.read_text().count("asked") > 2
    wait_until(lambda: not batch.jobs(), what="an empty queue")


def test_a_check_of_a_job_that_is_not_listed_goes_through_the_whole_chain(
    batch: BatchCluster, forgetful: Path
) -> None:
    checked = check(expression_of(batch))
    assert checked.exit_code == 0, checked.steps
    assert forgetful.exists()


def test_a_waiting_array_that_is_not_listed_is_waited_for_and_deleted_at_the_end(
    batch: BatchCluster, forgetful: Path, scripts: Scripts
) -> None:
    script = scripts.start(_HELD.format(array=batch.array.__name__, held=batch.held))
    wait_until(
        lambda: forgetful.exists() and forgetful.read_text().count("asked") >= 5, what="questions"
    )
    assert len(batch.jobs()) == 2
    assert script.poll() is None
    script.send_signal(signal.SIGINT)
    script.wait(30.0)
    wait_until(lambda: not batch.jobs(), what="an empty queue")
