"""Both launchers do what the core expects of one; their checks wait for Slurm side by side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imp_parallel_core import testing
from tests.support.slurm import Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

CHECKED = """
import sys
from pathlib import Path
from imp_parallel_core import SlurmSlaveArray, SlurmStepSlaveArray
from imp_parallel_core.testing import launcher_checks

(check,) = [check for check in launcher_checks() if check.name == sys.argv[1]]
check({make}, output_folder=Path.cwd())
print("passed")
"""
ALLOCATION = ("salloc", "--quiet", "--ntasks=2")


@pytest.mark.parametrize(
    ("prefix", "make"),
    [((), "lambda: SlurmSlaveArray(2)"), (ALLOCATION, "SlurmStepSlaveArray")],
    ids=["array", "allocation"],
)
def test_the_launcher_conforms(
    slurm: Slurm, tmp_path: Path, prefix: tuple[str, ...], make: str
) -> None:
    command = [*prefix, sys.executable, "-W", "error", "-c", CHECKED.format(make=make)]
    running = []
    folders = {check.name: tmp_path / check.name for check in testing.launcher_checks()}
    for name, folder in folders.items():
        folder.mkdir()
        with (folder / "said").open("w") as said:
            running.append(
                subprocess.Popen([*command, name], cwd=folder, stdin=-3, stdout=said, stderr=said)
            )
    for process in running:
        process.wait(200.0)
    all_said = {name: (folder / "said").read_text() for name, folder in folders.items()}
    assert {n: text for n, text in all_said.items() if not text.endswith("passed\n")} == {}
    wait_until(lambda: not slurm.kept_jobs(), 60.0, "an empty queue")  # also of a killed script
