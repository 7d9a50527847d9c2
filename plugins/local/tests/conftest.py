"""What the tests on real local slaves share."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager
from tests.support.harness import Processes, RunScript, processes
from tests.support.traced import traced_slaves

__all__ = ["processes", "traced_slaves"]  # fixtures


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def manager(processes: Processes) -> Iterator[Manager]:
    """Yield a Manager without slaves, and close it."""
    with Manager() as made:
        yield made


@pytest.fixture
def two_slaves(manager: Manager) -> Manager:
    """Return a Manager with two local slaves."""
    for _ in range(2):
        manager.add_slave(LocalSlave())
    return manager


@pytest.fixture
def one_slave(manager: Manager) -> Manager:
    """Return a Manager with one local slave."""
    manager.add_slave(LocalSlave())
    return manager


@pytest.fixture
def start_script(tmp_path: Path, processes: Processes) -> RunScript:
    """Return a function that starts a script of its own, as a user would."""

    def start(
        source: str, *arguments: str, python: Sequence[str] = (sys.executable,), **options: object
    ) -> subprocess.Popen[str]:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(source))
        started: subprocess.Popen[str] = subprocess.Popen(
            [*python, str(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]  # passed through
        )
        return started

    return start
