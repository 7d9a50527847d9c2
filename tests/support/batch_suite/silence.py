"""A batch system that hangs, or one of its commands: that is said, and nothing waits for ever."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from imp_parallel_core import Manager
from tests.support.as_root import signal_as_root
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.commands import StandIns, stand_ins, submissions_in
from tests.support.batch_suite.slaves import (
    expression_of,
    manager_of,
    squared,
    squares,
    wait_for,
)
from tests.support.checking import CHAIN, check, script_of_check
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until
from tests.support.watched_check import WatchedCheck

__all__ = [
    "stand_ins",  # a fixture
    "test_a_batch_system_that_hangs_is_reported_and_no_submission_outlives_the_script",
    "test_a_check_goes_through_although_the_list_hangs_and_says_which_job_may_be_left",
    "test_a_check_tells_of_a_batch_system_that_hangs_and_goes_on_when_it_answers",
    "test_a_check_that_a_batch_system_lets_hang_fails_at_its_limit_and_leaves_no_submission",
    "test_a_check_whose_job_can_not_be_deleted_says_what_is_left_and_how_to_delete_it",
    "test_a_ctrl_c_ends_a_check_that_a_batch_system_lets_hang",
    "test_a_deletion_that_hangs_does_not_keep_the_script",
    "test_a_list_that_hangs_hinders_neither_the_tasks_nor_the_end",
]

_LOOKS = 5
_LOOK_S = 0.5
_SQUARES = """
    from imp_parallel_core import Manager, {array}

    with Manager() as manager:
        manager.add_slave({array}(1))
        context = manager.get_context()
        for number in range(8):
            context.add_task(pow, number, 2)
        print(sorted(context.get_results_unordered()))
"""


class Watchful(Manager):
    """A Manager that soon looks whether silent slaves are there."""

    heartbeat_timeout = 2.0


def submits(batch: BatchCluster) -> str:
    """Return the command that submits."""
    return batch.array.system.programs[0]


def lists(batch: BatchCluster) -> str:
    """Return the command that lists jobs."""
    return batch.array.system.programs[1]


def deletes(batch: BatchCluster) -> str:
    """Return the command that deletes jobs."""
    return batch.array.system.programs[2]


def unknown(batch: BatchCluster) -> str:
    """Return the last words of a script that ends before the submission is answered."""
    return f"it is not known whether {submits(batch)} has submitted job "


def none_is_left(batch: BatchCluster) -> None:
    """Wait until no job is there: one that is taken late finds that nobody needs it.

    It may be taken a moment after the batch system answers again, which nobody can ask for.
    """

    def stays_empty() -> bool:
        for _ in range(_LOOKS):
            if batch.jobs():
                return False
            time.sleep(_LOOK_S)
        return True

    wait_until(stays_empty, 60.0, "an empty queue")


def test_a_check_tells_of_a_batch_system_that_hangs_and_goes_on_when_it_answers(
    batch: BatchCluster, scripts: Scripts
) -> None:
    with batch.silent():
        script = script_of_check(expression_of(batch), "--limit", "100")
        checking = WatchedCheck(scripts.start(script))
        checking.wait_for(f"{submits(batch)} has not answered for ", limit_s=20.0)
    assert checking.finish() == 0, checking.text
    none_is_left(batch)


def test_a_check_that_a_batch_system_lets_hang_fails_at_its_limit_and_leaves_no_submission(
    batch: BatchCluster, scripts: Scripts, tmp_path: Path
) -> None:
    with batch.silent():
        script = script_of_check(expression_of(batch), "--limit", "8")
        checking = WatchedCheck(scripts.start(script))
        assert checking.finish(last_words=unknown(batch)) == 1, checking.text
        assert f"{submits(batch)} has not answered for " in checking.found("submitted")
        assert not submissions_in(tmp_path, submits(batch))
    none_is_left(batch)


def test_a_ctrl_c_ends_a_check_that_a_batch_system_lets_hang(
    batch: BatchCluster, scripts: Scripts, tmp_path: Path
) -> None:
    with batch.silent():
        process = scripts.start(script_of_check(expression_of(batch)))
        checking = WatchedCheck(process)
        checking.wait_for(f"{submits(batch)} has not answered for ", limit_s=20.0)
        process.send_signal(signal.SIGINT)
        assert checking.finish(last_words=unknown(batch)) == 130
        assert "takes long to end" not in checking.text  # who types that waits for no last words
        wait_until(lambda: not submissions_in(tmp_path, submits(batch)), what="its end")
        assert list(tmp_path.glob(".imp_parallel-*")) == []
    none_is_left(batch)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_a_batch_system_that_hangs_is_reported_and_no_submission_outlives_the_script(
    batch: BatchCluster, scripts: Scripts, tmp_path: Path, ending: signal.Signals
) -> None:
    with batch.silent():
        script = scripts.start(_SQUARES.format(array=batch.array.__name__))
        wait_until(lambda: submissions_in(tmp_path, submits(batch)), what="the submission")
        begun_at = time.monotonic()
        lines: list[str] = []
        assert script.stderr is not None
        threading.Thread(target=lines.extend, args=(script.stderr,), daemon=True).start()
        wait_until(lambda: lines, what="a warning")
        assert time.monotonic() - begun_at < 10.0
        assert f"{submits(batch)} has not answered for " in lines[0]
        script.send_signal(ending)
        script.wait(30.0)
        wait_until(lambda: not submissions_in(tmp_path, submits(batch)), what="its end")
        if ending is signal.SIGINT:
            assert list(tmp_path.glob(".imp_parallel-*")) == []
    none_is_left(batch)


def test_a_check_goes_through_although_the_list_hangs_and_says_which_job_may_be_left(
    batch: BatchCluster, stand_ins: StandIns
) -> None:
    stand_ins.hang(lists(batch))
    checked = check(expression_of(batch))
    assert checked.names("ok") == CHAIN
    text = checked.failure("gone")
    assert f"{lists(batch)} has not answered for " in text
    assert f"Delete it with: {deletes(batch)}" in text
    assert "still ending" not in text
    none_is_left(batch)


def test_a_check_whose_job_can_not_be_deleted_says_what_is_left_and_how_to_delete_it(
    batch: BatchCluster, stand_ins: StandIns
) -> None:
    stand_ins.hang(deletes(batch))
    checked = check(expression_of(batch, batch.held), "--limit", "6")
    assert checked.exit_code == 1
    assert checked.names("failed") == ["started", "gone"]
    assert f"Delete it with: {deletes(batch)}" in checked.named("gone")["text"]
    batch.delete_all()


def test_a_list_that_hangs_hinders_neither_the_tasks_nor_the_end(
    batch: BatchCluster, stand_ins: StandIns
) -> None:
    with Watchful() as manager:
        manager.add_slave(batch.array(3))
        wait_for(manager, "idle", "idle", "idle")
        context = manager.get_context()
        stand_ins.hang(lists(batch))
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        signal_as_root(signal.SIGKILL, *batch.pids_of_task(2))  # now the list is asked for
        found += results
        assert sorted(found) == squared(60)
        asked_at = time.monotonic()
        assert len(manager.slaves) == 3
        assert time.monotonic() - asked_at < 1.0
        asked_at = time.monotonic()
    assert time.monotonic() - asked_at < 8.0
    none_is_left(batch)


def test_a_deletion_that_hangs_does_not_keep_the_script(
    batch: BatchCluster, stand_ins: StandIns, caplog: pytest.LogCaptureFixture
) -> None:
    with manager_of(batch, 2, batch.held) as manager:
        wait_for(manager, "queued", "queued")
        stand_ins.hang(deletes(batch))
        asked_at = time.monotonic()
    assert time.monotonic() - asked_at < 8.0
    assert f"Delete it with: {deletes(batch)}" in caplog.text
    batch.delete_all()
