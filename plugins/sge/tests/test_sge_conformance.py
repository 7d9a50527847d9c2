"""Both launchers do what the core expects of one; their checks wait for the queue side by side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness_sge import start_in_environment

from imp_parallel_core import testing
from tests.support.grid_engine import Cell
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

CHECKED = """
import sys
from pathlib import Path
from imp_parallel_core import SGEPESlaveArray, SGEQsubSlaveArray
from imp_parallel_core.testing import launcher_checks

(check,) = [check for check in launcher_checks() if check.name == sys.argv[1]]
check({make}, output_folder=Path.cwd())
print("passed")
"""
Start = Callable[[Path, str], "subprocess.Popen[str]"]


def start_array(folder: Path, name: str) -> subprocess.Popen[str]:
    source = CHECKED.format(make="lambda: SGEQsubSlaveArray(2)")
    command = [sys.executable, "-W", "error", "-c", source, name]
    with (folder / "out").open("w") as out:
        return subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, text=True)


def start_environment(folder: Path, name: str) -> subprocess.Popen[str]:
    """Start a check in a job of its own: Grid Engine ends the whole job with a task of it."""
    return start_in_environment(folder, CHECKED.format(make="SGEPESlaveArray"), name, slots=2)


@pytest.mark.parametrize("start", [start_array, start_environment])
def test_the_launcher_conforms(cluster: Cell, tmp_path: Path, start: Start) -> None:
    folders = {check.name: tmp_path / check.name for check in testing.launcher_checks()}
    running = []
    for name, folder in folders.items():
        folder.mkdir()
        running.append(start(folder, name))
    for process in running:
        process.wait(200)
    said = {name: (folder / "out").read_text() for name, folder in folders.items()}
    assert {name: text for name, text in said.items() if not text.endswith("passed\n")} == {}
    wait_until(lambda: not cluster.kept_jobs(), what="an empty queue")  # also of a killed script
