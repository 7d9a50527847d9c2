"""What the tests of the plugin share."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.harness import Processes, processes

__all__ = ["processes"]  # a fixture


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write_script(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return a function that writes a script, and returns the command that runs it."""

    def write(source: str) -> list[str]:
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(source))
        return [sys.executable, "-W", "error", str(path)]

    return write


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Yield a list for processes; those that still run at the end of the test are killed."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
