"""The life of an array, with a host that is made up, where the batch system does what some do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_batch import (
    Array,
    BatchEnd,
    BatchTask,
    Command,
    Description,
)
from imp_parallel_batch._cluster import Cluster
from imp_parallel_batch._launch import BatchLaunch
from made_up_host import MadeUpHost

from imp_parallel_core import (
    CommandResult,
    LaunchError,
    LaunchPhase,
    LaunchState,
)
from tests.support.waiting import wait_until


def poll_until(
    launch: BatchLaunch, condition: Callable[[Mapping[int, LaunchState]], bool]
) -> Mapping[int, LaunchState]:
    """Return the states as soon as a condition holds."""
    deadline = time.monotonic() + 20.0
    while True:
        states = launch.poll()
        if condition(states):
            return states
        assert time.monotonic() < deadline, states
        time.sleep(0.02)


def with_ends(self: Any, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
    """Read a list that keeps tasks that have ended: "ended 3"."""
    tasks = {}
    for line in done.stdout.splitlines()[:-1]:
        _, name, number, state, *code = line.split()
        phase = LaunchPhase.ENDED if code else LaunchPhase.RUNNING
        exit_code = int(code[0]) if code else None
        tasks[int(number)] = BatchTask(phase, state, mark=name, exit_code=exit_code)
    return {"7": tasks}


def test_a_task_that_is_listed_as_ended_has_the_exit_code_that_it_left_or_else_the_listed_one(
    host: MadeUpHost,
) -> None:
    launch = host.launch(tasks_in=with_ends)
    launch.poll()
    (folder,) = host.folder.glob(".imp_parallel-*")
    (folder / "1.exit").write_text("43\n")
    host.lines = ["7 NAME 1 failed 1", "7 NAME 2 killed 9"]
    states = poll_until(launch, lambda states: states[4].phase is LaunchPhase.ENDED)
    assert states == {
        3: LaunchState(LaunchPhase.ENDED, exit_code=43),
        4: LaunchState(LaunchPhase.ENDED, "job 7 task 2: killed", 9),
    }
    host.end(launch)


def test_a_task_that_is_started_anew_after_it_had_ended_has_a_document_again(
    host: MadeUpHost,
) -> None:
    launch = host.launch(1, tasks_in=with_ends)
    launch.poll()
    (folder,) = host.folder.glob(".imp_parallel-*")
    launch.note_connections([3], [])
    host.lines = ["7 NAME 1 killed 9"]
    poll_until(launch, lambda states: states[3].phase is LaunchPhase.ENDED)
    launch.note_connections([], [3])
    assert not (folder / "1").exists()
    host.lines = ["7 NAME 1 runs"]
    poll_until(launch, lambda states: states[3].phase is LaunchPhase.RUNNING)
    launch.poll()
    assert (folder / "1").exists()
    host.end(launch)


def test_a_reason_that_is_listed_is_told_without_another_question(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._queue_reminder._FIRST_S", 0.0)
    host.lines = ["7 NAME 1 waits no free place", "7 NAME 2 waits it is held"]
    launch = host.launch(description=lambda self, job, name: Command(["describe", job or name]))
    states = poll_until(launch, lambda states: states[3].detail != "submitted")
    assert states[3].detail == "job 7 task 1: waits: no free place"
    assert states[4].detail == "job 7 task 2: waits: it is held"
    assert "are still queued after 0 s: no free place; it is held" in caplog.text
    assert launch.reminds_of_queue, "so that the core does not tell it again"
    assert host.asked("describe") == []
    host.end(launch)


def test_an_array_that_is_queued_again_has_waited_since_it_ran_and_not_since_its_submission(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._queue_reminder._FIRST_S", 0.0)
    host.lines = ["7 NAME 1 runs", "7 NAME 2 waits no free place"]
    launch = host.launch()
    launch._reminder.begin(time.monotonic() - 3600.0)
    poll_until(launch, lambda states: states[3].phase is LaunchPhase.RUNNING)
    host.lines = ["7 NAME 1 waits begin time", "7 NAME 2 waits no free place"]
    poll_until(launch, lambda states: states[3].phase is LaunchPhase.QUEUED)
    (told,) = (text for text in caplog.messages if "are still queued after" in text)
    assert int(told.partition(" after ")[2].partition(" s: ")[0]) < 60
    host.end(launch)


def test_files_that_the_submission_reads_are_there_and_for_the_user_alone(
    host: MadeUpHost,
) -> None:
    found = []

    def submission(self: Any, array: Array) -> Command:
        files = {"job.description": f"queue {array.size}\n"}
        return Command(["put", "--name", array.name, f"{array.folder}/job.description"], "", files)

    run = host.run

    def looking(argv: Sequence[str], **more: Any) -> CommandResult:
        if argv[0] == "put":
            path = Path(argv[-1])
            found.append((path.read_text(), oct(path.stat().st_mode & 0o777)))
        return run(argv, **more)

    host.run = looking  # type: ignore[method-assign]  # for this object alone
    launch = host.launch(submission=submission)
    assert found == [("queue 2\n", "0o600")]
    host.end(launch)


def test_a_job_is_found_in_the_list_by_its_name_if_the_answer_is_not_understood(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    host.submitted = CommandResult(0, "Thank you!\n", "")
    host.lines = ["6 another 1 runs", "9 NAME 1 runs", "9 NAME 2 runs"]
    launch = host.launch()
    assert launch.job == "9"
    assert "put: its answer is not understood; but job 9 (imp_parallel-" in caplog.text
    host.end(launch)


def test_an_answer_that_can_not_be_read_is_no_refusal(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._submission._PAUSE_S", 0.0)
    host.submitted = CommandResult(0, "", "")
    host.lines = []

    def submitted(self: Any, done: CommandResult, array: Array) -> Any:
        raise ValueError("it is empty")

    with pytest.raises(LaunchError) as caught:
        host.launch(submitted=submitted)
    said = str(caught.value)
    assert "it is not known whether the array was submitted: it is empty" in said
    assert "look for it with list, and delete it with drop." in said
    assert list(host.folder.iterdir()) == []


def test_a_job_of_the_number_that_has_another_name_is_never_deleted(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    host.lines = ["7 precious 1 runs"]
    launch = host.launch()
    launch.withdraw([3])
    launch.cancel(0.0)
    assert host.asked("drop") == []
    assert "job 7 is not this run's, and is not deleted" in caplog.text


def test_a_description_of_another_job_tells_nothing(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_batch._array_end._DELETE_S", 0.3)
    host.lines = []
    host.described = CommandResult(0, "job 70", "")
    launch = host.launch(
        description=lambda self, job, name: Command(["describe", job or name]),
        descriptions_in=lambda self, done, asked: [Description("70", done.stdout)],
    )
    with pytest.raises(LaunchError, match="describe 7 describes another job"):
        launch.cancel(0.0)
    assert host.asked("drop") == []


def test_many_ranges_are_deleted_by_several_commands(host: MadeUpHost) -> None:
    host.lines = [f"7 NAME {number} waits" for number in range(1, 502)]
    launch = host.launch(501)
    launch.poll()
    launch.withdraw(range(3, 504, 2))  # each second task
    drops = host.asked("drop")
    assert len(drops) > 1
    assert all(len(argv) < 200 for argv in drops)
    words = [word for argv in drops for word in argv[2:]]
    assert words == [f"{number}-{number}" for number in range(1, 502, 2)]
    host.end(launch)


def test_an_array_in_a_folder_that_the_system_can_not_use_has_its_documents_in_the_home_folder(
    host: MadeUpHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    arrays = []

    def submission(self: Any, array: Array) -> Command:
        arrays.append(array)
        return Command(["put", "--name", array.name])

    launch = host.launch(can_use=lambda self, path: path != str(tmp_path), submission=submission)
    (array,) = arrays
    assert array.cwd == ""
    assert array.folder == str(home / f".{array.name}")
    assert array.early_output == f"{array.folder}/%t.early"
    assert f"cd {tmp_path}" in array.script
    host.end(launch)
    assert list(home.iterdir()) == []


def test_how_a_task_ended_that_has_vanished_is_told_by_the_accounting(host: MadeUpHost) -> None:
    launch = host.launch(
        accounting=lambda self, job: Command(["account", job]),
        ends_in=lambda self, done: [
            BatchEnd(1, 137, "OUT_OF_MEMORY"),
            BatchEnd(2, 1, "NODE_FAIL", is_end=False),
        ],
    )
    launch.poll()
    host.lines = []
    states = poll_until(launch, lambda states: states[3].phase is LaunchPhase.ENDED)
    said = "job 7 task 1 has gone from the queue: exit code 137; OUT_OF_MEMORY"
    assert states[3].detail == said
    assert states[4].phase is LaunchPhase.RUNNING
    host.end(launch)


@pytest.mark.timeout(90)
def test_a_job_that_is_not_listed_any_more_is_said_within_seconds_and_its_end_once_for_all_slaves(
    host: MadeUpHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = host.launch()
    launch.poll()
    host.lines = []
    wait_until(
        lambda: launch.poll() is not None and "job 7 is not listed by list" in caplog.text,
        20.0,
        "the warning",
    )
    assert "its slaves count as ended after 60 s. Was it deleted?" in caplog.text
    assert {state.phase for state in launch.poll().values()} == {LaunchPhase.RUNNING}
    monkeypatch.setattr("imp_parallel_batch._task_ends._FORGOTTEN_S", 0.0)
    states = poll_until(launch, lambda states: states[3].phase is LaunchPhase.ENDED)
    assert {state.detail.partition(":")[0] for state in states.values()} == {
        "job 7 has gone from the queue"
    }
    assert caplog.text.count("is not listed by") == 1
    host.end(launch)


def test_a_job_all_of_whose_tasks_are_listed_as_ended_is_not_there(host: MadeUpHost) -> None:
    cluster = Cluster(type("Other", (type(host.queue),), {"tasks_in": with_ends})(), host)
    host.lines = ["7 NAME 1 runs", "7 NAME 2 failed 1"]
    (described,) = cluster.describe("7")
    assert described.running == [1]
    host.lines = ["7 NAME 1 failed 1", "7 NAME 2 failed 1"]
    assert cluster.describe("7") == []
    assert cluster.is_there("7") is False
