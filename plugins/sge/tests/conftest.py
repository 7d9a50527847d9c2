"""What the tests on a real Grid Engine share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from grid_engine import CanNotBeHad, Cell, install, is_alive, wait_until
from job_user import JobUser
from scripts import Scripts


@pytest.fixture(scope="session")
def cell() -> Iterator[Cell]:
    """Start a Grid Engine for all tests that need one, and end it."""
    try:
        install()
    except CanNotBeHad as problem:
        pytest.skip(f"NOT TESTED on Grid Engine: {problem}")
    made = Cell()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def cluster(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    """Have the test run on a submit host; what it leaves there is its failure."""
    for name, value in cell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield cell
    jobs = cell.jobs()
    if jobs:
        cell.try_run("qdel", "-f", "-u", "*")
        wait_until(lambda: not cell.jobs(), what="an empty queue")
    left = {pid: line for pid, line in cell.processes().items() if not _ends_soon(pid)}
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not jobs, f"left in the queue:\n{jobs}"
    assert not left, f"left running: {left}"


def _ends_soon(pid: int) -> bool:
    try:
        wait_until(lambda: not is_alive(pid), 5.0)
    except AssertionError:
        return False
    return True


@pytest.fixture(scope="session")
def job_user() -> Iterator[JobUser]:
    """Make an ordinary user, and remove the user again."""
    user = JobUser.make()
    yield user
    user.remove()


@pytest.fixture
def scripts(cluster: Cell, tmp_path: Path) -> Iterator[Scripts]:
    """Start scripts as a person would, and end those that still run."""
    made = Scripts(cluster.environment, tmp_path)
    yield made
    made.end()
