"""The checks for batch systems pass one that is right, and name what is wrong with others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from harness_batch import EXAMPLE, ROOT
from imp_parallel_batch import Array, BatchEnd, BatchTask, Command, Description, Submitted
from imp_parallel_batch.testing import (
    Samples,
    check_a_launch_concludes_nothing_from_failures,
    check_accounts_are_read,
    check_batch_system,
    check_commands,
    check_deletions_are_read,
    check_descriptions_are_read,
    check_lists_are_read,
    check_submissions_are_read,
    check_the_script_runs_in_hostile_folders,
)

from imp_parallel_core import CommandResult, LaunchPhase

LIST = """\
7 imp_parallel-0a 1 runs
7 imp_parallel-0a 12 waits for a free place
8 another 1 waits
end
"""
SAMPLES = Samples(
    array=Array("imp_parallel-0a", 12, ["--colour", "red"], "true", "out/%t", "/a/f", "/a"),
    submitted=[(CommandResult(0, "job 7\n", ""), "7")],
    refused=[CommandResult(1, "", "put: there is no option --colour\n")],
    listed=[
        (
            CommandResult(0, LIST, ""),
            {
                "7": {1: LaunchPhase.RUNNING, 12: LaunchPhase.QUEUED},
                "8": {1: LaunchPhase.QUEUED},
            },
        ),
        (CommandResult(0, "end\n", ""), {}),
    ],
)


def test_a_batch_system_that_is_right_passes(plugin: ModuleType) -> None:
    check_batch_system(plugin.Queue(), SAMPLES)


def test_a_refusal_that_is_taken_for_a_temporary_one_is_named_and_the_other_way_round(
    plugin: ModuleType,
) -> None:
    system = broken(plugin, is_temporary=lambda self, done: "no answer" in done.stderr)
    temporary = CommandResult(1, "", "put: no answer\n")
    check_submissions_are_read(system, replace(SAMPLES, unreachable=[temporary]))
    for samples in (
        replace(SAMPLES, refused=[temporary]),
        replace(SAMPLES, unreachable=SAMPLES.refused),
    ):
        with pytest.raises(AssertionError, match="is_temporary returns"):
            check_submissions_are_read(system, samples)


def broken(plugin: ModuleType, **members: Any) -> Any:
    """Return a batch system of which some members are wrong."""
    return type("Broken", (plugin.Queue,), members)()


def reading_lines(self: Any, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
    """Read a list that may be cut off."""
    found: dict[str, dict[int, BatchTask]] = {}
    for job, number in re.findall(r"^(\d+) \S+ (\d+)", done.stdout, re.MULTILINE):
        found.setdefault(job, {})[int(number)] = BatchTask(LaunchPhase.QUEUED)
    return found


def without(kind: str) -> Callable[[Any, Array], Command]:
    """Return a submission that lacks something."""

    def submission(self: Any, array: Array) -> Command:
        words = {"name": array.name, "output": array.early_output, "tasks": str(array.size)}
        del words[kind]
        return Command(["put", *words.values(), *array.options], input=array.script)

    return submission


def always_12(self: Any, array: Array) -> Command:
    """Submit an array of 12 tasks, whatever its size is."""
    words = ["put", array.name, array.early_output, *array.options, "--priority", "12"]
    return Command(words, input=array.script)


def having_a_mistake(self: Any, *_: Any) -> Any:
    """Have a mistake."""
    raise KeyError("job")


def exclusive(self: Any, job: str, ranges: Sequence[range]) -> Sequence[Command]:
    """Delete tasks by ranges whose ends are one too large."""
    return [Command(["drop", job, *(f"{each.start}-{each.stop}" for each in ranges)])]


def too_few(self: Any, job: str, ranges: Sequence[range]) -> Sequence[Command]:
    """Delete the first task of each range alone."""
    return [Command(["drop", job, *(str(each.start) for each in ranges)])]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"submission": without("name")}, "lacks the array's name"),
        ({"submission": without("output")}, "lacks the path of the early output"),
        ({"submission": without("tasks")}, "lacks the array's size"),
        ({"submission": always_12}, "lacks the array's size, which is 4711"),
        ({"programs": ()}, "programs is empty"),
        ({"key": ""}, "key is empty"),
        ({"task_pattern": ""}, "task_pattern is empty"),
        ({"description": having_a_mistake}, r"Broken.having_a_mistake\(\) failed: KeyError: 'job'"),
        ({"deletion": exclusive}, "the deletion of the tasks 1301 to 1301 has 1302"),
        ({"deletion": too_few}, "the deletion of the tasks 2203 to 2205 lacks 2205"),
        (
            {
                "submission": lambda s, a: Command(
                    ["put", a.name, a.script, str(a.size), a.early_output]
                )
            },
            "lacks the option",
        ),
        ({"deletion": lambda s, job, ranges: [Command(["drop", job])]}, "a whole job"),
        ({"deletion": lambda s, job, ranges: []}, "no command that deletes a whole job"),
        ({"task_pattern": "$TASK"}, "one for all tasks"),
        ({"question": lambda s: Command(cast(Any, [7]))}, "7 is no word"),
    ],
)
def test_commands_that_lack_something_are_found(
    plugin: ModuleType, members: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        check_commands(broken(plugin, **members), SAMPLES)


@pytest.mark.parametrize(
    ("submitted", "said"),
    [
        (lambda s, done, a: Submitted("".join(re.findall(r"\d", done.stdout))[:1]), "garbage|read"),
        (lambda s, done, a: Submitted(refusal="no"), "is about job 7"),
        (lambda s, done, a: Submitted(re.sub(r"\D", "", done.stdout)), "is a refusal"),
        (
            lambda s, done, a: (
                Submitted("7") if "job 7" in done.stdout else Submitted(refusal="no job")
            ),
            "taken for a refusal",
        ),
    ],
)
def test_answers_to_submissions_that_are_misread_are_found(
    plugin: ModuleType, submitted: Any, said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        check_submissions_are_read(broken(plugin, submitted=submitted), SAMPLES)


def test_lists_that_are_misread_where_they_are_cut_off_are_found(plugin: ModuleType) -> None:
    with pytest.raises(AssertionError, match="and means"):
        check_lists_are_read(broken(plugin, tasks_in=reading_lines), SAMPLES)
    waiting = {"7": {12: LaunchPhase.QUEUED}}
    samples = replace(SAMPLES, listed=[(CommandResult(0, "7 n 12 waits\n", ""), waiting)])
    with pytest.raises(AssertionError, match="of a list that is cut off, task 1 of job 7"):
        check_lists_are_read(broken(plugin, tasks_in=reading_lines), samples)


def unmarked(self: Any, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
    """Read a list without the names of the jobs."""
    listed: Mapping[str, Mapping[int, BatchTask]] = super(type(self), self).tasks_in(done)
    return {
        job: {number: task._replace(mark="") for number, task in tasks.items()}
        for job, tasks in listed.items()
    }


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"first_task": 0}, r"the list has the tasks \[12\] of job 7, and the array has 0 to 11"),
        ({"tasks_in": unmarked}, "no task of job 7 has a mark"),
        ({"tasks_in": having_a_mistake}, "having_a_mistake.* failed: KeyError: 'job'"),
    ],
)
def test_a_list_by_which_the_kit_would_not_know_its_job_or_its_tasks_is_found(
    plugin: ModuleType, members: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(AssertionError, match=said):
        check_lists_are_read(broken(plugin, **members), SAMPLES)


def test_a_job_that_is_taken_for_gone_whatever_the_answer_to_its_deletion_says_is_found(
    plugin: ModuleType,
) -> None:
    always = broken(plugin, is_gone=lambda self, done, job: True)
    with pytest.raises(AssertionError, match="job 7 was taken for gone"):
        check_deletions_are_read(always, SAMPLES)
    gone = CommandResult(1, "", "drop: there is no job 7\n")
    knowing = broken(plugin, is_gone=lambda self, done, job: f"no job {job}" in done.stderr)
    samples = replace(SAMPLES, deleted=[(gone, True), (CommandResult(0, "", ""), False)])
    check_deletions_are_read(knowing, samples)
    with pytest.raises(AssertionError, match="is_gone returns False for job 7"):
        check_deletions_are_read(plugin.Queue(), samples)


def describing(self: Any, done: CommandResult, asked: str) -> Sequence[Description]:
    """Take a job for gone that is not described."""
    return [Description(job, done.stdout) for job in re.findall(r"^job=(\d+) ;", done.stdout)]


def test_a_job_that_is_taken_for_gone_where_its_description_is_cut_off_is_found(
    plugin: ModuleType,
) -> None:
    samples = replace(SAMPLES, described=[(CommandResult(0, "job=7 ;", ""), "7")])
    with pytest.raises(AssertionError, match="job 7 was taken for gone"):
        check_descriptions_are_read(broken(plugin, descriptions_in=describing), samples)
    gone = replace(SAMPLES, gone=[(CommandResult(1, "", "no such job\n"), "7")])
    with pytest.raises(AssertionError, match="says that 7 has gone, and can't be read"):
        check_descriptions_are_read(plugin.Queue(), gone)


def test_an_account_from_which_another_task_is_read_is_found(plugin: ModuleType) -> None:
    def ends_in(self: Any, done: CommandResult) -> Sequence[BatchEnd]:
        found = re.findall(r"^(\d+)", done.stdout, re.MULTILINE)
        return [BatchEnd(int(number), 0) for number in found]

    samples = replace(SAMPLES, accounted=[(CommandResult(0, "12 0\n", ""), {12: 0})])
    with pytest.raises(AssertionError, match="of CommandResult"):
        check_accounts_are_read(broken(plugin, ends_in=ends_in), samples)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"restarted": "(("}, "task 1 in .* ends with 2: .*unexpected EOF"),
        ({"restarted": "1 +"}, r"the script of task 1 \(notice\(\), restarted\) says: .*syntax"),
        ({"notice": lambda s, options: "notify=soon"}, "which is no number"),
        ({"notice": lambda s, options: "#PBS -x\nnotify=0"}, "would be taken for options"),
        ({"first_task": 1, "task_variable": "RANDOM"}, "task 1 in"),
    ],
)
def test_what_a_system_adds_to_the_script_is_checked(
    plugin: ModuleType, members: Mapping[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match=said):
        check_the_script_runs_in_hostile_folders(broken(plugin, **members), tmp_path)


def test_a_system_that_takes_a_failure_for_an_empty_queue_is_found(
    plugin: ModuleType, tmp_path: Path
) -> None:
    def tasks_in(self: Any, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
        if done.exit_code or "garbage" in done.stdout:
            return {"7": {1: BatchTask(LaunchPhase.ENDED, "gone", exit_code=0)}}
        found: Mapping[str, Mapping[int, BatchTask]] = plugin.Queue().tasks_in(done)
        return found

    with pytest.raises(AssertionError, match="after CommandResult"):
        check_a_launch_concludes_nothing_from_failures(
            broken(plugin, tasks_in=tasks_in), SAMPLES, tmp_path
        )


def test_the_page_for_authors_shows_the_example_and_the_samples_as_they_are() -> None:
    page = (ROOT / "docs/batch-systems.md").read_text(encoding="utf-8")
    system, samples = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert system in EXAMPLE.read_text(encoding="utf-8")
    assert "class Queue(BatchSystem):" in system
    assert "imp_parallel_launch" in system
    assert samples.strip() in Path(__file__).read_text(encoding="utf-8")
