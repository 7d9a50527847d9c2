"""No job is left in the queue without being named, whatever hangs, fails, or has a mistake."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_batch import Array, BatchTask, Submitted
from imp_parallel_batch._launch import BatchLaunch
from made_up_host import MadeUpHost

from imp_parallel_core import CommandResult, LaunchError
from tests.support.waiting import wait_until

NO_ANSWER = CommandResult(1, "", "no answer from the stable")


class HangingHost(MadeUpHost):
    """A host on which a command can hang."""

    def __init__(self, folder: Path, queue: Any) -> None:
        super().__init__(folder, queue)
        self.lines = ["7 NAME 1 waits held", "7 NAME 2 waits held"]
        self.hangs = ""
        self.may_answer = threading.Event()

    def run(self, argv: Sequence[str], **more: Any) -> CommandResult:
        done = super().run(argv, **more)
        if argv[0] == self.hangs:
            self.may_answer.wait(60.0)
        return done


@pytest.fixture
def hanging(host: MadeUpHost) -> Iterator[HangingHost]:
    made = HangingHost(host.folder, host.queue)
    yield made
    made.may_answer.set()


def failing(*_: Any) -> Any:
    """Have a mistake."""
    raise KeyError("colour")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("program", ["drop", "list"])
def test_a_job_that_a_command_that_hangs_leaves_is_named_before_the_manager_gives_up(
    hanging: HangingHost, program: str, caplog: pytest.LogCaptureFixture
) -> None:
    launch = hanging.launch()
    launch.poll()
    hanging.hangs = program
    with closing(launch) as closes:
        begun_at = time.monotonic()
        wait_until(lambda: "Delete it with: drop 7" in caplog.text, what="the job's name")
        assert time.monotonic() - begun_at < 4.5, "the Manager has given up"
        assert "job 7 may still be there" in caplog.text
        assert f"{program} has not" in caplog.text
        assert list(hanging.folder.glob(".imp_parallel-*/[0-9]")) == []  # no secret is left
        hanging.lines = []
        hanging.may_answer.set()
        wait_until(lambda: not closes.is_alive(), what="the end")
    assert hanging.asked("drop")


def test_a_job_that_a_slow_command_has_deleted_after_all_is_not_left_in_doubt(
    hanging: HangingHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._DELETE_S", 0.3)
    launch = hanging.launch()
    launch.poll()
    hanging.hangs = "drop"
    with closing(launch):
        wait_until(lambda: "Delete it with: drop 7" in caplog.text, what="the job's name")
        hanging.lines = []
        hanging.may_answer.set()
        wait_until(lambda: "job 7 is deleted after all" in caplog.text, what="the good news")
    assert list(hanging.folder.glob(".imp_parallel-*")) == []


def test_a_deletion_that_is_asked_for_again_is_in_doubt_only_when_it_is_late(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    class SlowlyDeleting(MadeUpHost):
        def run(self, argv: Sequence[str], **more: Any) -> CommandResult:
            done = super().run(argv, **more)
            if len(self.asked("drop")) == 2 and argv[0] == "drop":
                time.sleep(0.3)
                self.lines = []
            return done

    launch = SlowlyDeleting(host.folder, host.queue).launch()
    launch.poll()
    launch.cancel(0.0)
    assert caplog.messages == []


def test_tasks_that_are_withdrawn_by_a_command_that_hangs_do_not_keep_the_launch(
    hanging: HangingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._PATIENCE_S", 0.1)
    launch = hanging.launch()
    launch.poll()
    hanging.hangs = "drop"
    launch.withdraw([3])  # would hang for 60 s
    assert not hanging.may_answer.is_set()
    hanging.may_answer.set()
    hanging.end(launch)


class closing:
    """Closes a launch in a thread, as the Manager does."""

    def __init__(self, launch: BatchLaunch) -> None:
        def close() -> None:
            try:
                launch.cancel(0.0)
            except LaunchError as problem:
                logging.getLogger("imp_parallel.launch").warning("%s", problem)

        self._thread = threading.Thread(target=close)

    def __enter__(self) -> threading.Thread:
        self._thread.start()
        return self._thread

    def __exit__(self, *_: object) -> None:
        self._thread.join(40.0)
        assert not self._thread.is_alive()


def test_a_job_is_found_by_its_name_if_the_plugin_can_not_read_the_answer(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    host.lines = ["9 NAME 1 runs", "9 NAME 2 runs"]
    launch = host.launch(submitted=failing)
    assert launch.job == "9"
    fault = "Other.failing() failed: KeyError: 'colour' (test_batch_faults.py, line "
    assert f"put: {fault}" in caplog.text
    assert "but job 9 (imp_parallel-" in caplog.text
    host.end(launch)


def test_a_plugin_that_returns_something_else_is_named(host: MadeUpHost) -> None:
    host.lines = []
    with pytest.raises(LaunchError) as caught:
        host.launch(submitted=lambda self, done, array: done.stdout)
    said = str(caught.value)
    assert "Other.<lambda>() returned a str, which is no Submitted" in said
    assert f"No job {host.name} was found, but it may come to be there" in said


def test_a_plugin_that_fails_before_anything_is_submitted_is_named(host: MadeUpHost) -> None:
    for member in ("submission", "job_name", "notice", "can_use"):
        with pytest.raises(LaunchError, match=r"Other.failing\(\) failed: KeyError: 'colour'"):
            host.launch(2, **{member: failing})
    assert host.commands == []
    assert list(host.folder.iterdir()) == []


@pytest.mark.timeout(60)
def test_a_job_whose_list_the_plugin_can_not_read_is_deleted_at_the_end(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._DELETE_S", 0.3)
    launch = host.launch(tasks_in=failing)
    launch.poll()
    fault = "the queue can't be looked at, which is tried again: Other.failing() failed: KeyError"
    assert fault in caplog.text
    with pytest.raises(LaunchError) as caught:
        launch.cancel(0.0)
    assert host.asked("drop")[0] == ["drop", "7"]
    assert "job 7 may still be there (Other.failing() failed" in str(caught.value)
    assert "drop was run, and said nothing. Delete it with: drop 7" in str(caught.value)


@pytest.mark.parametrize(
    ("member", "told"),
    [("deletion", "its deletion failed: Other.failing() failed: KeyError"), ("is_gone", "failed")],
)
def test_a_job_whose_deletion_has_a_mistake_is_named(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch, member: str, told: str
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._DELETE_S", 0.3)
    launch = host.launch(2, **{member: failing})
    launch.poll()
    with pytest.raises(LaunchError, match="job 7 may still be there") as caught:
        launch.cancel(0.0)
    assert told in str(caught.value)


def test_a_command_that_was_not_run_is_not_said_to_have_answered(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._DELETE_S", 0.3)

    def cut_off(self: Any, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
        raise ValueError("cut off")

    launch = host.launch(tasks_in=cut_off)
    with pytest.raises(LaunchError) as caught:
        launch.cancel(0.0)
    assert host.asked("drop") == []
    said = str(caught.value)
    assert "drop was not run, since it is not known whose job that is: list: cut off" in said
    assert "Delete it with: drop 7" in said
    assert "said" not in said


def test_a_job_that_was_taken_although_the_command_failed_is_not_taken_for_refused(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    host.submitted = NO_ANSWER
    launch = host.launch()
    assert launch.job == "7"
    assert "put refused the array: exit code 1; but job 7 (imp_parallel-" in caplog.text
    assert "| no answer from the stable" in caplog.text
    host.end(launch)


def test_nothing_is_looked_for_if_the_batch_system_was_told_nothing(host: MadeUpHost) -> None:
    def untold(self: Any, done: CommandResult, array: Array) -> Submitted:
        return Submitted(refusal="there is no stable here", advice="Go to one.", is_untold=True)

    host.submitted = NO_ANSWER
    with pytest.raises(LaunchError, match="there is no stable here") as caught:
        host.launch(submitted=untold)
    assert str(caught.value).endswith("| no answer from the stable\n    Go to one.")
    assert {argv[0] for argv in host.commands} == {"put"}


def test_lines_of_a_command_that_can_not_look_for_a_job_are_indented(host: MadeUpHost) -> None:
    def cut_off(self: Any, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
        raise ValueError("cut\nsomewhere\nelse")

    host.submitted = NO_ANSWER
    with pytest.raises(LaunchError) as caught:
        host.launch(tasks_in=cut_off)
    assert "cut\n    | somewhere\n    | else): look for it" in str(caught.value)


def test_a_refusal_that_could_not_be_checked_says_how_to_look_for_the_job(
    host: MadeUpHost,
) -> None:
    def cut_off(self: Any, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
        raise ValueError("cut off")

    host.submitted = NO_ANSWER
    with pytest.raises(LaunchError, match="put refused the array: exit code 1") as caught:
        host.launch(tasks_in=cut_off)
    said = str(caught.value)
    assert f"Whether job {host.name} is there all the same could not be found out" in said
    assert "look for it with list, and delete it with drop." in said
