"""Checks of what a batch system says of itself, and of the commands that it has the kit run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._records import Array, Command
from .._system import BatchSystem
from ._asking import told
from ._samples import Samples

_SIZE = 4711  # no other word of a submission is this number
_RANGES = (range(1301, 1302), range(2203, 2206))


def check_commands(system: BatchSystem, samples: Samples) -> None:
    """The commands are made of words, and hold what the array is known and found by."""
    _check_words_of(system)
    array = samples.array
    submission = told(system.submission, array)
    job = samples.submitted[0][1]
    commands = [submission, told(system.question), told(system.accounting, job)]
    commands += [told(system.description, job, ""), told(system.description, "", array.name)]
    commands += [*told(system.deletion, job, ()), *told(system.deletion, job, _RANGES)]
    for command in filter(None, commands):
        _check_words(command)
    texts = _texts(submission)
    for name, what in (
        (array.name, "the array's name"),
        (array.script, "the job script"),
        (array.early_output, "the path of the early output"),
    ):
        assert any(name in text for text in texts), f"the submission lacks {what}: {submission}"
    for word in array.options:
        assert any(word in text for text in texts), f"the submission lacks the option {word!r}"
    assert all(array.script not in word for word in submission.argv), (
        "the script is an argument of the command: give it as input, or as a file"
    )
    _check_size(system, array)
    _check_deletion(system, job)
    assert system.task_pattern in array.early_output, "the early output is one for all tasks"


def _check_words_of(system: BatchSystem) -> None:
    for member in ("name", "key", "advice", "task_variable", "task_pattern"):
        word = getattr(system, member, None)
        assert isinstance(word, str), f"{member} is {word!r}, and no text"
        assert word, f"{member} is empty"
    assert re.fullmatch(r"[\w-]+", system.key), f"the key {system.key!r} is not a short word"
    programs = getattr(system, "programs", ())
    assert not isinstance(programs, str), f"programs is a text, and no sequence: {programs!r}"
    assert programs, "programs is empty: the kit has to know which commands must be there"
    assert all(isinstance(each, str) and each for each in programs), f"programs is {programs!r}"


def _check_size(system: BatchSystem, array: Array) -> None:
    """See that the submission follows the array's size, and not another word that equals it."""
    other = told(system.submission, array._replace(size=_SIZE))
    numbers = {str(_SIZE), str(system.first_task + _SIZE - 1)}
    found = numbers.intersection(re.findall(r"\d+", " ".join(_texts(other))))
    assert found, f"the submission lacks the array's size, which is {_SIZE}: {other}"


def _check_deletion(system: BatchSystem, job: str) -> None:
    whole = [list(command.argv) for command in told(system.deletion, job, ())]
    assert whole, "there is no command that deletes a whole job"
    parts = told(system.deletion, job, _RANGES)
    assert parts, "there is no command that deletes ranges of tasks"
    for command in parts:
        assert list(command.argv) not in whole, "tasks are deleted by what deletes a whole job"
    text = " ".join(text for command in parts for text in _texts(command))
    numbers = set(map(int, re.findall(r"\d+", text)))
    for tasks in _RANGES:
        meant = f"{tasks[0]} to {tasks[-1]}"
        for number in (tasks[0], tasks[-1]):
            assert number in numbers, f"the deletion of the tasks {meant} lacks {number}: {text}"
        for number in (tasks[0] - 1, tasks[-1] + 1):
            assert number not in numbers, f"the deletion of the tasks {meant} has {number}: {text}"


def _texts(command: Command) -> Sequence[str]:
    return [*command.argv, command.input, *command.files.values()]


def _check_words(command: Command) -> None:
    assert command.argv, "a command has no words"
    for word in command.argv:
        assert isinstance(word, str), f"{word!r} is no word: {command.argv}"
        assert "\0" not in word, f"a word holds a zero byte: {command.argv}"
    assert command.program, f"messages would call this nothing: {command.argv}"
