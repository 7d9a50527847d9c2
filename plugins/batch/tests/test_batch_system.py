"""What the kit takes as usual for a batch system."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from harness_batch import SYSTEM
from imp_parallel_batch import (
    Array,
    BatchEnd,
    BatchSlaveArray,
    BatchSystem,
    BatchTask,
    Command,
    Description,
    Submitted,
    output_of,
    understood,
)

from imp_parallel_core import CommandResult, SlaveArray


@pytest.mark.parametrize("words", ["--array 1-4", "--array=1-4", "-q a -w v", "-w v"])
def test_options_that_the_plugin_sets_are_refused_however_they_are_written(words: str) -> None:
    with pytest.raises(ValueError, match=r"the put option (--array|-w v) can't be used here: "):
        SYSTEM.check_options(words.split())


def test_other_options_are_not_refused() -> None:
    SYSTEM.check_options(["-w", "e", "--arrays=2", "v", "-w"])


class QueueArray(BatchSlaveArray):
    system = SYSTEM


@pytest.mark.parametrize("count", ["3", 2.0, None, [1]])
def test_a_number_of_slaves_that_is_none_is_named_in_the_error(count: Any) -> None:
    for kind in (QueueArray, SlaveArray):
        with pytest.raises(TypeError, match="Array: the number of slaves must be an int, not "):
            kind(count)


@pytest.mark.parametrize("options", [["--time=1", "a b"], None, b"--time=1"])
def test_options_that_are_no_text_are_named_in_the_error_which_says_how_to_write_them(
    options: Any,
) -> None:
    with pytest.raises(TypeError, match="QueueArray: the options must be one text") as caught:
        QueueArray(2, options)
    how = """; write "--time=1 'a b'\""""
    assert str(caught.value).endswith(how) == isinstance(options, list)


@pytest.mark.parametrize(
    ("exit_code", "jobs", "expected"),
    [
        (0, ["5"], Submitted("5")),
        (1, [], Submitted(refusal="put refused the array: exit code 1", advice="Look.")),
        (1, ["5"], Submitted(doubt="exit code 1")),
        (0, ["5", "6"], Submitted(doubt="its answer speaks of several arrays")),
        (0, [], Submitted(doubt="its answer is not understood")),
    ],
)
def test_only_an_answer_without_a_job_and_with_an_exit_code_is_a_refusal(
    exit_code: int, jobs: list[str], expected: Submitted
) -> None:
    done = CommandResult(exit_code, "", "")
    assert understood(done, jobs, program="put", advice="Look.") == expected


def test_the_output_of_a_command_that_failed_is_an_error_with_its_words() -> None:
    assert output_of(CommandResult(0, "a list", "a warning")) == "a list"
    with pytest.raises(ValueError, match="exit code 3: no such host"):
        output_of(CommandResult(3, "half a li", "no such host\n"))


@pytest.mark.parametrize(
    ("command", "typed"),
    [
        (Command(["put", "-C", ""]), ["put", "-C", ""]),
        (Command(["env", "-u", "A", "put", "-C", ""], shown="put"), ["put", "-C", ""]),
        (Command(["put", "it"], shown="the queue"), ["put", "it"]),
    ],
)
def test_messages_show_a_command_as_people_would_type_it(
    command: Command, typed: list[str]
) -> None:
    assert list(command.typed) == typed


@pytest.mark.parametrize(
    "kind", [Array, BatchEnd, BatchSystem, BatchTask, Command, Description, Submitted]
)
def test_help_tells_what_each_field_of_a_class_means(kind: type) -> None:
    told = inspect.getdoc(kind) or ""
    assert kind.__annotations__
    for name in kind.__annotations__:
        assert f"\n    {name}: " in told
