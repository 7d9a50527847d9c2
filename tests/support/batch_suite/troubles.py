"""What goes wrong on a cluster is said within seconds: what, how it shows, and what to do."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from imp_parallel_core import LaunchError, Manager
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.slaves import manager_of, squared, squares, states
from tests.support.checking import check, errors_of
from tests.support.odd_pythons import (
    python_of_another_version,
    python_without_a_network,
    python_without_the_package,
)
from tests.support.waiting import wait_until

__all__ = [
    "test_a_command_that_is_missing_is_named_with_the_path_and_what_to_do",
    "test_a_held_array_is_said_to_be_held",
    "test_a_master_that_can_not_be_reached_is_named_with_its_addresses",
    "test_a_python_line_that_fails",
    "test_a_python_of_another_version",
    "test_a_python_without_the_package",
    "test_an_array_is_submitted_as_soon_as_the_batch_system_can_be_reached",
    "test_an_array_that_is_taken_late_after_it_was_submitted_again_is_there_once",
    "test_jobs_that_no_place_takes_are_said_in_one_line_to_wait_and_why",
    "test_options_that_are_refused_are_told_with_the_batch_systems_words",
]


# Stands for the command that submits: the first call gets no answer, and is carried out as soon as
# a file is there. Its job is held: otherwise its slaves would find that they are not needed, and
# leave.
LATE_SUBMISSION = """\
#!/bin/sh
cd {folder}
if mkdir first 2>/dev/null; then
    cat >script
    (
        until test -e go; do sleep 0.1; done
        {program} {held} "$@" <script >late 2>&1
        touch carried_out
    ) >/dev/null 2>&1 &
    echo "{words}" >&2
    exit 1
fi
exec {program} "$@"
"""


def test_a_command_that_is_missing_is_named_with_the_path_and_what_to_do(
    batch: BatchCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Manager(output=None) as manager, pytest.raises(LaunchError) as caught:
        manager.add_slave(batch.array(2))
    for text in (str(caught.value), check(repr(batch.array(2))).failure("checked")):
        assert str(tmp_path) in text
        assert batch.array.system.advice in text
    assert caught.value.command == (batch.array.system.programs[0],)
    monkeypatch.undo()


def test_options_that_are_refused_are_told_with_the_batch_systems_words(
    batch: BatchCluster, tmp_path: Path
) -> None:
    for options, code, words in batch.refusals:
        for text in errors_of(batch.array(2, options), step="submitted"):
            assert f"{batch.array.system.programs[0]} refused the array: exit code {code}" in text
            assert words in text
            assert options.split()[0] in text
            assert f"{tmp_path}/.imp_parallel-" in text
        assert list(tmp_path.glob(".imp_parallel-*")) == []


def test_jobs_that_no_place_takes_are_said_in_one_line_to_wait_and_why(
    batch: BatchCluster, caplog: pytest.LogCaptureFixture
) -> None:
    logger = f"imp_parallel.{batch.array.system.key}"
    reason = batch.said_of_nowhere

    def told() -> list[str]:
        return [text for text in caplog.messages if text.startswith("all 3 slaves of 2 jobs (")]

    with caplog.at_level(logging.WARNING, logger), manager_of(batch, 2, batch.nowhere) as manager:
        manager.add_slave(batch.array(1, batch.nowhere))
        wait_until(told, 60.0, "a warning")
        assert "still queued" in told()[0]
        assert reason in told()[0]
        assert len(caplog.messages) <= 3
        wait_until(lambda: reason in manager.slaves[0].detail, 30.0, "the detail")
        assert [slave.state for slave in manager.slaves] == ["queued"] * 3


def test_a_held_array_is_said_to_be_held(batch: BatchCluster) -> None:
    checked = check(repr(batch.array(1, batch.held)), "--limit", "6")
    assert batch.said_of_held in checked.failure("started")
    assert batch.said_of_held in checked.said


def test_an_array_is_submitted_as_soon_as_the_batch_system_can_be_reached(
    batch: BatchCluster, caplog: pytest.LogCaptureFixture
) -> None:
    program = batch.array.system.programs[0]
    with Manager() as manager:
        context = manager.get_context()
        squares(context, 8)
        with batch.out_of_reach():
            manager.add_slave(batch.array(2))
            said = f"{program} could not reach"
            wait_until(lambda: said in manager.slaves[0].detail, 60.0, "the detail")
            assert states(manager) == ["queued", "queued"]
        assert sorted(context.get_results_unordered()) == squared(8)
    assert batch.said_of_nobody in caplog.text
    assert "This says nothing about the options. Try again when" in caplog.text
    assert "was submitted after " in caplog.text


def test_an_array_that_is_taken_late_after_it_was_submitted_again_is_there_once(
    batch: BatchCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    program = batch.array.system.programs[0]
    stand_in = tmp_path / "bin" / program
    stand_in.parent.mkdir()
    real, words = shutil.which(program), batch.said_of_silence
    parts = {"folder": tmp_path, "program": real, "held": batch.held, "words": words}
    stand_in.write_text(LATE_SUBMISSION.format(**parts))
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    with Manager() as manager:
        context = manager.get_context()
        squares(context, 8)
        manager.add_slave(batch.array(2))
        assert sorted(context.get_results_unordered()) == squared(8)
        first = batch.newest_job()
        (tmp_path / "go").touch()
        wait_until((tmp_path / "carried_out").exists, 60.0)
        wait_until(lambda: "is deleted: it is the same array" in caplog.text, 60.0)
        others = rf"\s*(?!{first}\D)\d"
        wait_until(lambda: not [job for job in batch.kept_jobs() if re.match(others, job)], 60.0)
        squares(context, 8)
        assert sorted(context.get_results_unordered()) == squared(8)
    assert f"the same array as job {first}" in caplog.text


@pytest.mark.parametrize(
    ("line", "words", "code"),
    [
        ("nonsense_module load imp; {python}", "nonsense_module: command not found", 127),
        ("{python} -c 'raise SystemExit(100)'; {python}", "", 100),
        ("cd /nowhere && {python}", "/nowhere", 1),
        ("/nowhere/at/all/python3", "/nowhere/at/all/python3", 127),
    ],
)
def test_a_python_line_that_fails(batch: BatchCluster, line: str, words: str, code: int) -> None:
    for text in errors_of(batch.array(2), python=line.format(python=shlex.quote(sys.executable))):
        assert words in text
        assert f"exit code {code}" in text
        assert "0.output" in text


def test_a_python_of_another_version(batch: BatchCluster, tmp_path: Path) -> None:
    for text in errors_of(batch.array(2), python=python_of_another_version(tmp_path)):
        assert "this is Python 3.9" in text
        assert "the master runs Python {}.{}".format(*sys.version_info) in text


def test_a_python_without_the_package(batch: BatchCluster, tmp_path: Path) -> None:
    for text in errors_of(batch.array(2), python=python_without_the_package(tmp_path)):
        assert "No module named 'imp_parallel_core'" in text
        assert "Install imp-parallel-core for" in text
        assert "/nowhere/at/all" in text
        assert "exit code 1" in text


def test_a_master_that_can_not_be_reached_is_named_with_its_addresses(
    batch: BatchCluster, tmp_path: Path
) -> None:
    line = python_without_a_network(tmp_path)
    text = check(repr(batch.array(2)), "--python", line).failure("started")
    assert "the master can't be reached" in text
    assert "Network is unreachable" in text
    assert "0.output" in text
