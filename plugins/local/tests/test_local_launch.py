"""Whom a local launch signals at its end: its own slave's group, and never anybody else's."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from imp_parallel_local._local_launch import LocalLaunch
from waiting import is_alive, wait_until

from imp_parallel_core import Bootstrap, LaunchPhase, Stream


@pytest.fixture
def launch(tmp_path: Path) -> LocalLaunch:
    bootstrap = Bootstrap(
        index=0, python=sys.executable, cwd=str(tmp_path), output_path=None, sys_path=[]
    )
    return LocalLaunch(bootstrap, lambda index, stream: keep(stream))


def keep(stream: Stream) -> None:
    streams.append(stream)


streams: list[Stream] = []


def has_ended(launch: LocalLaunch) -> bool:
    return launch.poll()[0].phase is LaunchPhase.ENDED


def pid_of(launch: LocalLaunch) -> int:
    return launch._process.pid


def test_the_number_of_a_slave_that_has_died_stays_its_own_until_its_group_was_signalled(
    launch: LocalLaunch,
) -> None:
    os.kill(pid_of(launch), signal.SIGKILL)
    wait_until(lambda: has_ended(launch))
    assert launch.poll()[0].exit_code == -signal.SIGKILL
    assert Path(f"/proc/{pid_of(launch)}").exists(), "another process could get its number"
    launch.cancel(0.0)
    assert not Path(f"/proc/{pid_of(launch)}").exists()


def test_a_slave_that_somebody_else_has_waited_for_is_signalled_no_more(
    launch: LocalLaunch, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(pid_of(launch), signal.SIGKILL)
    os.waitpid(pid_of(launch), 0)  # as a script does that waits for all its children
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: signalled.append(group))
    launch.cancel(0.0)
    assert signalled == []
    assert has_ended(launch)


def test_a_slave_that_runs_is_ended_with_its_group(launch: LocalLaunch) -> None:
    assert not has_ended(launch)
    launch.cancel(0.0)
    assert not is_alive(pid_of(launch))
    assert has_ended(launch)
