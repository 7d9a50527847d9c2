"""imp-parallel check of the slaves of a stranger's plugin, which does whatever it likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.harness import Processes
from tests.support.strangers import install_stranger

PLUGIN = r'''
import sys
from imp_parallel_core import LaunchPhase, LaunchState, Slave, hookimpl, start_processes

class OddSlave(Slave):
    def __init__(self, how):
        self.how = how

    def __repr__(self):
        return f"OddSlave({self.how!r}\x1b[2J)"

    def check(self):
        if self.how == "ends the script":
            sys.exit(5)

class Works:
    """A launch that works, but for what nobody needs."""

    def __init__(self, launch):
        self._launch = launch

    def __getattr__(self, name):
        if name in ("job", "command"):
            raise ValueError(f"no {name}")
        return getattr(self._launch, name)

class Waits:
    """A launch of a slave that never comes."""

    command = ("start", "\x1b[2J")
    job = "7\x1b[2J"

    def __init__(self, how):
        self._how = how

    def poll(self):
        return {0: LaunchState(LaunchPhase.QUEUED, "full\x1b[2J")}

    def log_tail(self, index):
        return ""

    def cancel(self, grace_s):
        if self._how == "leaves something":
            raise ValueError("a job is left\x1b[2J")

@hookimpl
def imp_parallel_launch(slaves, bootstraps, accept):
    if not isinstance(slaves, OddSlave):
        return None
    if slaves.how == "ends the launch":
        sys.exit(3)
    if slaves.how == "works":
        return Works(start_processes(bootstraps, accept))
    return Waits(slaves.how)

@hookimpl
def imp_parallel_slave_types():
    return {"OddSlave": OddSlave}
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> Path:
    """Have a distribution installed, for one test; work in a folder of one's own."""
    place = tmp_path / "place"
    install_stranger(place, PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(place))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("works", 0, ["OddSlave is of odd 0.1", "All of it works"]),
        ("ends the script", 1, ["plugin odd failed in OddSlave.check(): SystemExit: 5"]),
        ("ends the launch", 1, ["plugin odd failed in imp_parallel_launch: SystemExit: 3"]),
        ("waits", 1, [r"job 7\x1b[2J: start ", r"queued: full\x1b[2J", "ok       gone"]),
        ("leaves something", 1, ["FAILED   gone", r"a job is left\x1b[2J"]),
    ],
)
def test_a_strangers_slave_is_checked_by_name_whatever_its_plugin_does(
    folder: Path, how: str, code: int, words: list[str]
) -> None:
    command = [sys.executable, "-m", "imp_parallel_core", "check", f"OddSlave({how!r})"]
    done = subprocess.run([*command, "--limit", "2"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, ""), done.stdout
    assert [each for each in words if each not in done.stdout] == [], done.stdout
    assert "\x1b" not in done.stdout
