"""Slaves of a made-up batch system, whose plugin is the example of the documents."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from made_up_queue import install, tasks

from imp_parallel_core import Manager, NoSlaveStartedError
from imp_parallel_core.testing import check_launcher
from tests.support.rebuilt_run import RebuiltRun
from tests.support.waiting import wait_until


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have a queue whose programs are in the PATH; what is left in it is the test's failure."""
    folder = tmp_path / "queue"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{install(folder)}:{os.environ['PATH']}")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield folder
    try:
        wait_until(lambda: not list(tasks(folder)), what="an empty queue")
    finally:
        for *_, pid in tasks(folder):
            if pid:
                os.killpg(pid, signal.SIGKILL)


def system_with(plugin: ModuleType, **members: Any) -> type:
    """Return a class of slaves of a queue that is otherwise."""
    system = type("OtherQueue", (plugin.Queue,), members)()
    return type("OtherQueueSlaveArray", (plugin.QueueSlaveArray,), {"system": system})


@pytest.mark.timeout(180)
def test_the_example_is_a_launcher(queue: Path, plugin: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    check_launcher(
        lambda: plugin.QueueSlaveArray(2), output_folder=tmp_path / "out", plugins=[plugin]
    )


def test_an_array_that_is_refused_says_so_in_the_words_of_the_queue(
    queue: Path, plugin: ModuleType
) -> None:
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(plugin.QueueSlaveArray(2, "--colour red"))
        context = manager.get_context()
        context.add_task(pow, 2, 2)
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results())
    assert "put refused the array: exit code 1" in str(caught.value)
    assert "put: there is no option --colour" in str(caught.value)
    assert "Compare the options with put --help." in str(caught.value)


def test_an_array_that_waits_says_why_and_is_deleted_at_the_end(
    queue: Path, plugin: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(plugin.QueueSlaveArray(3, "--hold"))
        wait_until(lambda: "held by you" in manager.slaves[0].detail, what="the reason")
        wait_until(lambda: "still queued" in caplog.text, what="a warning")
        assert len(list(tasks(queue))) == 3
    assert "all 3 slaves of job 7 are still queued after" in caplog.text
    assert list(Path.cwd().glob(".imp_parallel-*")) == []


def test_observers_are_told_that_slaves_wait_and_why(queue: Path, plugin: ModuleType) -> None:
    run = RebuiltRun()
    with Manager(plugins=[plugin, run]) as manager:
        manager.add_slave(plugin.QueueSlaveArray(2, "--hold"))
        wait_until(
            lambda: (
                len(run.states) == 2
                and all("held by you" in changes[-1].detail for changes in run.states.values())
            )
        )
    run.check()
    for changes in run.states.values():
        assert changes[0].state == "launching"
        assert [one.state for one in changes if "held by you" in one.detail] == ["queued"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("program", ["drop", "list"])
def test_a_manager_whose_queue_hangs_has_said_what_deletes_the_job_when_it_gives_up(
    queue: Path, plugin: ModuleType, program: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = queue / "bin" / program
    working = path.read_text()
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(plugin.QueueSlaveArray(2, "--hold"))
        wait_until(lambda: "held by you" in manager.slaves[0].detail, what="the reason")
        path.write_text("#!/bin/sh\nexec sleep 60\n")
    try:
        assert "job 7 may still be there" in caplog.text
        assert "Delete it with: drop 7" in caplog.text
        assert list(Path.cwd().glob(".imp_parallel-*/[0-9]")) == []  # no secret is left
    finally:
        path.write_text(working)
        subprocess.run([queue / "bin/drop", "7"], check=True)


def test_tasks_are_numbered_from_the_systems_first_number(queue: Path, plugin: ModuleType) -> None:
    kind = system_with(plugin, first_task=0)
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(kind(2, "--first-is-0"))
        wait_until(lambda: all(s.state == "idle" for s in manager.slaves), what="both slaves")
        assert {number for _, _, number, *_ in tasks(queue)} == {0, 1}


def test_an_array_that_is_too_small_for_the_system_is_made_larger(
    queue: Path, plugin: ModuleType
) -> None:
    kind = system_with(plugin, least_tasks=2)
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(kind(1, "--several"))
        context = manager.get_context()
        context.add_task(pow, 3, 2)
        assert list(context.get_results()) == [9]
        wait_until(lambda: len(list(tasks(queue))) == 1, what="the end of the other task")


@pytest.mark.parametrize("warning", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_warning_that_reaches_the_script_alone_is_passed_on_to_the_slave(
    queue: Path, plugin: ModuleType, warning: signal.Signals
) -> None:
    kind = system_with(plugin, warns_children=False)
    behind_a_shell = f'run() {{ {shlex.quote(sys.executable)} "$@"; return $?; }}; run'
    with Manager(plugins=[plugin], python=behind_a_shell) as manager:
        manager.add_slave(kind(1))
        wait_until(lambda: manager.slaves[0].state == "idle", what="the slave")
        ((*_, pid),) = tasks(queue)
        os.kill(pid, warning)
        wait_until(lambda: manager.slaves[0].state == "gone", what="its leave")
        assert f"received {warning.name}" in manager.slaves[0].detail
