"""How long slaves on a batch system take to start, against jobs that only start a Python.

Run it with ``python benchmarks/arrays.py slurm [REPETITIONS]``, or with ``sge``, as root on Debian:
it starts a Slurm or a Grid Engine of its own, as the tests do. Measured are, in turn:

- an array on four slots: from the moment that the first job's script begins (what is before that is
  the batch system's) until the master has the first result;
- an array of jobs that only run ``python -c``: from that moment until the first Python has run;
- one local slave, and four: from ``add_slave`` until the master has the first result.

Four slaves have to share the machine's cores while they start, wherever they do.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from imp_parallel_local import LocalSlave
from imp_parallel_sge import SGEQsubSlaveArray
from imp_parallel_slurm import SlurmSlaveArray

from imp_parallel_core import Manager, Slave
from tests.support import grid_engine, slurm
from tests.support.waiting import wait_until

SLAVES = 4


class System(Protocol):
    """A batch system of this benchmark's own, which notes when the scripts of jobs begin."""

    submission: Sequence[str]
    """What submits an array of jobs whose script is the standard input."""

    def array(self) -> Slave:
        """Describe slaves."""

    def take_first(self) -> float:
        """Return when the first script has begun, in wall-clock s; forget all begins."""

    def stop(self) -> None:
        """End it."""


class GridEngine:
    """A Grid Engine whose starter of jobs notes when it begins a script."""

    submission = ("qsub", "-terse", "-t", f"1-{SLAVES}", "-o", "/dev/null", "-j", "y", "-cwd")

    def __init__(self, folder: Path) -> None:
        grid_engine.install()
        self._cell = grid_engine.Cell(slots=SLAVES)
        self._cell.start()
        self._cell.note_starts()
        os.environ.update(self._cell.environment)

    def array(self) -> Slave:
        """Describe slaves."""
        return SGEQsubSlaveArray(SLAVES)

    def take_first(self) -> float:
        """Return when the first script has begun; forget all, when all jobs have ended."""
        wait_until(lambda: not self._cell.jobs(), what="the end of all jobs")
        return _first(self._cell.started)

    def stop(self) -> None:
        """End it."""
        self._cell.stop()


class Slurm:
    """A Slurm; the bash of a job's script reads a file first, which notes when that is."""

    submission = ("sbatch", "--parsable", f"--array=1-{SLAVES}", "--output=/dev/null")

    def __init__(self, folder: Path) -> None:
        slurm.install()
        self._slurm = slurm.Slurm()
        self._slurm.start()
        self._folder = folder
        noting = folder / "noting"
        noting.write_text(
            f'[[ -e {folder}/$SLURM_JOB_ID ]] || echo "$EPOCHREALTIME" >{folder}/$SLURM_JOB_ID\n'
        )
        os.environ.update(self._slurm.environment, BASH_ENV=str(noting))

    def array(self) -> Slave:
        """Describe slaves."""
        return SlurmSlaveArray(SLAVES)

    def take_first(self) -> float:
        """Return when the first script has begun; forget all, when all jobs have ended."""
        wait_until(lambda: not self._slurm.jobs(), what="the end of all jobs")
        return _first(self._folder)

    def stop(self) -> None:
        """End it."""
        self._slurm.stop()


def _first(folder: Path) -> float:
    """Return the earliest time that a file in a folder holds; remove these files."""
    files = [file for file in folder.iterdir() if file.name != "noting"]
    starts = [float(file.read_text()) for file in files]
    for file in files:
        file.unlink()
    return min(starts)


SYSTEMS: dict[str, type[System]] = {"sge": GridEngine, "slurm": Slurm}


def first_result_at(slaves: list[Slave]) -> tuple[float, float]:
    """Return the wall-clock times when the slaves were added, and of their first result."""
    with Manager(output=str(Path.cwd() / "slave%d.output")) as manager:
        context = manager.get_context()
        for _ in range(SLAVES):
            context.add_task(os.getpid)
        begun_at = time.time()
        for slave in slaves:
            manager.add_slave(slave)
        next(context.get_results_unordered())
        return begun_at, time.time()


def time_local(count: int) -> float:
    """Return the seconds from ``add_slave`` to the first result, with so many local slaves."""
    begun_at, result_at = first_result_at([LocalSlave() for _ in range(count)])
    return result_at - begun_at


def time_array(system: System) -> float:
    """Return the seconds from the start of the first job's script to the first result."""
    _, result_at = first_result_at([system.array()])
    return result_at - system.take_first()


def time_jobs(system: System) -> float:
    """Return the seconds from the start of the first job's script until a Python has run."""
    made = Path("made")
    program = f"import time; open({str(made.resolve())!r}, 'a').write(str(time.time()) + chr(10))"
    script = f'#!/bin/bash\n{sys.executable} -c "{program}"\n'
    command = system.submission
    subprocess.run(command, input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    wait_until(made.exists, 60.0)
    begun_at = system.take_first()
    ran_at = min(map(float, made.read_text().split()))
    made.unlink()
    return ran_at - begun_at


def main() -> None:
    """Measure and print."""
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1] not in SYSTEMS:
        sys.exit(f"usage: python benchmarks/arrays.py {'|'.join(SYSTEMS)} [REPETITIONS]")
    repetitions = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as noted:
        system = SYSTEMS[sys.argv[1]](Path(noted))
        try:
            os.chdir(folder)
            rounds = [
                (time_array(system), time_jobs(system), time_local(1), time_local(SLAVES))
                for _ in range(repetitions + 1)
            ][1:]  # the first compiles modules
        finally:
            os.chdir("/")
            system.stop()
    array, jobs, one, four = ([round[at] for round in rounds] for at in range(4))
    print(f"array of {SLAVES}, script's start to first result: {_describe(array)}")
    for name, others in (
        ("jobs that only run python -c", jobs),
        ("one local slave", one),
        (f"{SLAVES} local slaves", four),
    ):
        ratios = [mine / other for mine, other in zip(array, others, strict=True)]
        print(
            f"{name}: {_describe(others)}; the array takes {statistics.median(ratios):.2f} times "
            f"as long (pairs {min(ratios):.2f} to {max(ratios):.2f})"
        )


def _describe(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms"


if __name__ == "__main__":
    main()
