"""An array that was submitted again since nobody answered, and is in the queue twice."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable

import pytest
from lonely_host import TAKEN, Late, Silence, are, folders, launch_on, tried_again
from made_up_host import MadeUpHost

from imp_parallel_core import CommandResult, LaunchPhase
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have other jobs looked for soon."""
    monkeypatch.setattr("imp_parallel_batch._repeats._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("imp_parallel_batch._repeats._LAST_PAUSE_S", 0.02)


def test_a_submission_that_is_carried_out_late_does_not_start_its_slaves_twice(
    lonely: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    launch = launch_on(lonely)
    lonely.submitted = TAKEN
    wait_until(lambda: launch.job == "7")
    lonely.lines = ["7 NAME 1 runs", "7 NAME 2 runs", "8 other 1 waits", "9 NAME 1 waits"]
    wait_until(lambda: lonely.asked("drop"))
    assert are(launch, LaunchPhase.RUNNING)()
    lonely.lines = []
    launch.cancel(0.0)
    assert [argv for argv in lonely.asked("drop") if argv[1] != "7"] == [["drop", "9"]]
    assert "job 9 is deleted: it is the same array as job 7" in caplog.text
    assert "may still be there" not in caplog.text


def test_the_first_of_two_jobs_is_kept_since_its_slaves_may_be_at_work(
    lonely: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = launch_on(lonely)
    both = ["7 NAME 1 runs", "7 NAME 2 runs", "10 NAME 1 waits", "10 NAME 2 waits"]
    monkeypatch.setattr(lonely, "run", Late(lonely, "put", 2, both).run)
    lonely.submitted = CommandResult(0, "job 10\n", "")
    wait_until(lambda: launch.job)
    assert launch.job == "7"
    assert lonely.asked("drop") == [["drop", "10"]]
    lonely.lines = []
    launch.cancel(0.0)


def test_a_job_that_is_there_after_all_at_the_end_is_deleted(
    lonely: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._pending_launch._FIRST_PAUSE_S", 600.0)
    launch = launch_on(lonely)
    lonely.lines = ["9 NAME 1 waits", "9 NAME 2 waits"]
    monkeypatch.setattr(lonely, "run", Late(lonely, "drop", 1, []).run)
    launch.cancel(0.0)
    assert ["drop", "9"] in lonely.asked("drop")
    assert folders(lonely) == []


def test_a_second_job_that_comes_at_the_very_end_is_deleted_or_named(
    lonely: MadeUpHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("imp_parallel_batch._repeats._GONE_S", 0.0)
    launch = launch_on(lonely)
    lonely.submitted = TAKEN
    wait_until(lambda: launch.job == "7")
    monkeypatch.setattr(lonely, "run", Late(lonely, "drop", 1, ["9 NAME 1 waits"]).run)
    launch.cancel(0.0)
    assert ["drop", "9"] in lonely.asked("drop")
    assert "job 9 may still be there. Delete it with: drop 9" in caplog.text


@pytest.mark.parametrize("may_come", [True, False], ids=["may come", "was never heard of"])
def test_people_are_told_of_a_job_that_may_come_after_the_end_and_of_no_other(
    lonely: MadeUpHost, caplog: pytest.LogCaptureFixture, may_come: bool
) -> None:
    silence = Silence(lonely)
    launch = launch_on(
        lonely,
        tasks_in=lambda *words: silence.tasks_in(*words),
        may_have_been_taken=lambda system, done: may_come,
    )
    launch.cancel(0.0)
    is_told = "which may come to be there: look for it with list, and delete it with drop" in (
        caplog.text
    )
    assert is_told == may_come


def test_what_a_busy_batch_system_may_yet_do_is_waited_for_as_long_again(
    lonely: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = launch_on(lonely)
    submission = launch._submission
    wait_until(tried_again(lonely))
    with launch._lock:
        submission._not_before = time.monotonic() + 600.0
        count = len(lonely.asked("put"))
        lists = len(lonely.asked("list"))
    wait_until(lambda: len(lonely.asked("list")) > lists + 3)
    assert len(lonely.asked("put")) == count
    launch.cancel(0.0)


def test_a_script_that_ends_before_it_is_known_names_the_job_and_removes_its_documents(
    lonely: MadeUpHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr("imp_parallel_batch._pending_launch._FIRST_PAUSE_S", 600.0)
    launch = launch_on(lonely)
    for function in reversed(at_exit):
        function()
    assert "(the script ends before that is known), which may come to be there" in caplog.text
    assert folders(lonely) == []
    launch.cancel(0.0)
