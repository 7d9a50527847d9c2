"""Processes that a launch starts: what they get, and which groups it signals at its end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import Bootstrap, LaunchError, LaunchPhase, Stream, start_processes
from imp_parallel_core._plugins.processes import ProcessLaunch
from tests.support.waiting import is_alive, wait_until


@pytest.fixture
def launch(tmp_path: Path) -> ProcessLaunch:
    return started([bootstrap(0, tmp_path)])


def bootstrap(index: int, folder: Path) -> Bootstrap:
    python = sys.executable
    return Bootstrap(index=index, python=python, cwd=str(folder), output_path=None, sys_path=[])


def started(bootstraps: Sequence[Bootstrap], **options: Any) -> ProcessLaunch:
    launch = start_processes(bootstraps, lambda index, stream: keep(stream), **options)
    assert isinstance(launch, ProcessLaunch)
    return launch


def keep(stream: Stream) -> None:
    streams.append(stream)


streams: list[Stream] = []


def has_ended(launch: ProcessLaunch) -> bool:
    return launch.poll()[0].phase is LaunchPhase.ENDED


def pid_of(launch: ProcessLaunch) -> int:
    return launch._processes[0].pid


def test_the_number_of_a_slave_that_has_died_stays_its_own_until_its_group_was_signalled(
    launch: ProcessLaunch,
) -> None:
    os.kill(pid_of(launch), signal.SIGKILL)
    wait_until(lambda: has_ended(launch))
    assert launch.poll()[0].exit_code == -signal.SIGKILL
    assert Path(f"/proc/{pid_of(launch)}").exists(), "another process could get its number"
    launch.cancel(0.0)
    assert not Path(f"/proc/{pid_of(launch)}").exists()


def test_a_slave_that_somebody_else_has_waited_for_is_signalled_no_more(
    launch: ProcessLaunch, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(pid_of(launch), signal.SIGKILL)
    os.waitpid(pid_of(launch), 0)  # as a script does that waits for all its children
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: signalled.append(group))
    launch.cancel(0.0)
    assert signalled == []
    assert has_ended(launch)


def test_a_slave_that_runs_is_ended_with_its_group(launch: ProcessLaunch) -> None:
    assert not has_ended(launch)
    launch.cancel(0.0)
    assert not is_alive(pid_of(launch))
    assert has_ended(launch)


def sleep(argv: Sequence[str], bootstrap: Bootstrap) -> Sequence[str]:
    return ["sleep", "600"]


def pids_of(launch: ProcessLaunch) -> list[int]:
    return [process.pid for process in launch._processes.values()]


def test_one_slave_of_several_is_ended_and_the_others_go_on(tmp_path: Path) -> None:
    launch = started([bootstrap(index, tmp_path) for index in (4, 5, 6)], wrap=sleep)
    launch.end_slave(5)
    wait_until(lambda: launch.poll()[5].phase is LaunchPhase.ENDED)
    assert launch.poll()[5].exit_code == -signal.SIGKILL
    assert [launch.poll()[index].phase for index in (4, 6)] == [LaunchPhase.RUNNING] * 2
    launch.cancel(0.0)
    assert not any(map(is_alive, pids_of(launch)))


def test_processes_that_have_started_are_ended_if_another_one_can_not_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "pid"

    def wrap(argv: Sequence[str], bootstrap: Bootstrap) -> Sequence[str]:
        if bootstrap.index == 0:
            return ["sh", "-c", f"echo $$ >{left}.new; mv {left}.new {left}; exec sleep 600"]
        wait_until(left.exists)
        return ["/no/such/program", *argv]

    with pytest.raises(LaunchError, match="/no/such/program can't be started"):
        started([bootstrap(index, tmp_path) for index in range(2)], wrap=wrap)
    assert not is_alive(int(left.read_text()))


def test_processes_that_do_not_leave_are_asked_to_end_before_they_are_killed(
    tmp_path: Path,
) -> None:
    ready, said = tmp_path / "ready", tmp_path / "said"
    script = f"trap 'echo asked >{said}; exit 3' TERM; echo >{ready}; sleep 600 & wait"
    launch = started(
        [bootstrap(0, tmp_path)],
        wrap=lambda argv, _: ["sh", "-c", script],
        document="file",
        terminate_s=60.0,
    )
    wait_until(ready.exists)
    before = time.monotonic()
    launch.cancel(0.0)
    assert said.read_text() == "asked\n"
    assert time.monotonic() - before < 60.0
    assert launch.poll()[0].exit_code == 3


def test_a_slave_that_reads_its_document_from_a_file_gets_no_standard_input(
    tmp_path: Path,
) -> None:
    seen: list[Sequence[str]] = []

    def wrap(argv: Sequence[str], bootstrap: Bootstrap) -> Sequence[str]:
        seen.append(argv)
        return ["sh", "-c", f"readlink /proc/self/fd/0 >{tmp_path}/input"]

    launch = started([bootstrap(0, tmp_path)], wrap=wrap, document="file")
    launch.cancel(60.0)
    assert (tmp_path / "input").read_text() == "/dev/null\n"
    assert seen == [bootstrap(0, tmp_path).command()]
