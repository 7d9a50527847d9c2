"""What people see of a cluster: imp-parallel check, and what slaves print, as it comes."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import pytest

from imp_parallel_core import Manager, OutputLine
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.checking import CHAIN, check
from tests.support.odd_pythons import python_without_a_network
from tests.support.waiting import wait_until

__all__ = [
    "test_a_check_of_a_command_that_is_missing_says_what_to_do",
    "test_a_check_of_a_line_that_fails_quotes_the_jobs_output",
    "test_a_check_of_a_master_that_can_not_be_reached_names_its_addresses",
    "test_a_check_of_an_array_goes_through_the_whole_chain",
    "test_a_check_of_jobs_that_never_start_says_the_batch_systems_reason_and_ends_them",
    "test_a_check_of_options_that_are_refused_quotes_the_batch_system",
    "test_what_slaves_print_comes_to_the_script_while_they_work",
]


def expression_of(batch: BatchCluster, options: str = "") -> str:
    """Return the expression of one slave."""
    return f"{batch.array.__name__}(1, {options!r})"


def test_a_check_of_an_array_goes_through_the_whole_chain(
    batch: BatchCluster, tmp_path: Path
) -> None:
    checked = check(expression_of(batch))
    assert checked.exit_code == 0, checked.steps
    assert checked.names("ok") == [*CHAIN, "gone"]
    submitted = checked.named("submitted")
    assert submitted["facts"]["job"].isdecimal()
    assert f"job {submitted['facts']['job']}: " in submitted["text"]
    assert batch.array.system.programs[0] in submitted["text"]
    connected = checked.named("connected")
    assert connected["facts"]["address"] in submitted["facts"]["tries"]
    assert connected["facts"]["address"] in connected["text"]
    wait_until(lambda: not batch.jobs(), what="an empty queue")
    assert list(tmp_path.glob("*check*")) == []


def test_a_check_of_options_that_are_refused_quotes_the_batch_system(batch: BatchCluster) -> None:
    refusal = batch.refusals[-1]
    text = check(expression_of(batch, refusal.options)).failure("submitted")
    assert f"refused the array: exit code {refusal.exit_code}" in text
    assert refusal.words in text


def test_a_check_of_a_command_that_is_missing_says_what_to_do(
    batch: BatchCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    text = check(expression_of(batch)).failure("checked")
    assert batch.array.system.advice in text
    monkeypatch.undo()


def test_a_check_of_jobs_that_never_start_says_the_batch_systems_reason_and_ends_them(
    batch: BatchCluster,
) -> None:
    checked = check(expression_of(batch, batch.nowhere), "--limit", "12")
    text = checked.failure("started")
    assert "nothing has started within the 12 s of --limit" in text
    assert batch.said_of_nowhere in text
    assert "ask for less" in text
    assert "queued" in checked.said
    wait_until(lambda: not batch.jobs(), what="an empty queue")


def test_a_check_of_a_line_that_fails_quotes_the_jobs_output(batch: BatchCluster) -> None:
    line = f"nonsense_module load imp; {shlex.quote(sys.executable)}"
    text = check(expression_of(batch), "--python", line).failure("started")
    assert "nonsense_module: command not found" in text
    assert "exit code 127" in text


def test_a_check_of_a_master_that_can_not_be_reached_names_its_addresses(
    batch: BatchCluster, tmp_path: Path
) -> None:
    line = python_without_a_network(tmp_path)
    text = check(expression_of(batch), "--python", line).failure("started")
    assert "the master can't be reached" in text
    assert "Network is unreachable" in text


def test_what_slaves_print_comes_to_the_script_while_they_work(
    batch: BatchCluster, tmp_path: Path
) -> None:
    def speak(gate: Path) -> None:
        print("hello")
        while not gate.exists():
            time.sleep(0.05)

    heard: list[OutputLine] = []
    with Manager(output=heard.append) as manager:
        manager.add_slave(batch.array(1))
        context = manager.get_context()
        context.add_task(speak, tmp_path / "gate")
        wait_until(lambda: (0, "hello") in [(line.task, line.text) for line in heard], 60.0)
        (tmp_path / "gate").touch()
        list(context.get_results())
    assert list(tmp_path.glob(".imp_parallel*")) == []
