"""Helpers of the tests on real slaves."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MARK = "IMP_PARALLEL_TESTMARK"
RunScript = Callable[..., "subprocess.Popen[str]"]
"""Starts a script of its own, as a user would: the type of a fixture."""


class Processes:
    """The processes that a test caused, found by a mark in their environment."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex

    def alive(self) -> dict[int, str]:
        """Return pid and command line of each process with the mark, but for this one."""
        needle = f"{MARK}={self.mark}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if needle in (entry / "environ").read_bytes():
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    if state not in "ZX":
                        found[int(entry.name)] = (entry / "cmdline").read_text()
            except OSError:
                continue
        return found

    def runners(self) -> list[int]:
        """Return the pids of the runners."""
        return [pid for pid in self.alive() if name_of(pid) == "imp-runner"]

    def supervisors(self) -> list[int]:
        """Return the pids of the slaves' own processes."""
        lines = self.alive().items()
        slaves = {pid for pid, line in lines if "imp_parallel_core._slave.program " in line}
        return [pid for pid in slaves if parent_of(pid) not in slaves]  # (a runner may be a fork)

    def gone_within(self, limit_s: float) -> dict[int, str]:
        """Wait until none is alive; return those that are after all."""
        deadline = time.monotonic() + limit_s
        while (alive := self.alive()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return alive


def name_of(pid: int) -> str:
    """Return the name of a process, "" if it has gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    """Return the pid of a process's parent, 0 if it has gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """Track the processes of a test; none may be left 10 s after it (what is left is killed)."""
    found = Processes()
    monkeypatch.setenv(MARK, found.mark)
    yield found
    left = found.gone_within(10.0)
    for pid in left:
        os.kill(pid, 9)
    assert not left, f"left behind: {left}"
