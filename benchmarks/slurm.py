"""How long slaves on a Slurm take to start, against jobs that only start a Python, and local ones.

Run it with ``python benchmarks/slurm.py [REPETITIONS]``, as root on Debian: it starts a Slurm of
its own, as the tests do. Measured are, in turn:

- an array on four slots: from the moment that the first job's script begins (what is before that is
  Slurm's) until the master has the first result;
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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from imp_parallel_local import LocalSlave
from imp_parallel_slurm import SlurmSlaveArray

from imp_parallel_core import Manager, Slave
from tests.support.slurm import Slurm, install
from tests.support.waiting import wait_until

SLAVES = 4


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


class Starts:
    """Notes when the scripts of jobs begin: their bash reads a file first."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        self._slurm = slurm
        self._folder = folder
        noting = folder / "noting"
        noting.write_text(
            f'[[ -e {folder}/$SLURM_JOB_ID ]] || echo "$EPOCHREALTIME" >{folder}/$SLURM_JOB_ID\n'
        )
        os.environ["BASH_ENV"] = str(noting)

    def take_first(self) -> float:
        """Return when the first script has begun; forget all, when all jobs have ended."""
        wait_until(lambda: not self._slurm.jobs(), what="the end of all jobs")
        files = [file for file in self._folder.iterdir() if file.name.isdecimal()]
        starts = [float(file.read_text()) for file in files]
        for file in files:
            file.unlink()
        return min(starts)


def time_array(starts: Starts) -> float:
    """Return the seconds from the start of the first job's script to the first result."""
    _, result_at = first_result_at([SlurmSlaveArray(SLAVES)])
    return result_at - starts.take_first()


def time_jobs(starts: Starts) -> float:
    """Return the seconds from the start of the first job's script until a Python has run."""
    made = Path("made")
    program = f"import time; open({str(made.resolve())!r}, 'a').write(str(time.time()) + chr(10))"
    script = f'#!/bin/bash\n{sys.executable} -c "{program}"\n'
    command = ["sbatch", "--parsable", f"--array=1-{SLAVES}", "--output=/dev/null"]
    subprocess.run(command, input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    begun_at = starts.take_first()
    ran_at = min(map(float, made.read_text().split()))
    made.unlink()
    return ran_at - begun_at


def main() -> None:
    """Measure and print."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    install()
    slurm = Slurm()
    try:
        slurm.start()
        os.environ.update(slurm.environment)
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as noted:
            os.chdir(folder)
            starts = Starts(slurm, Path(noted))
            rounds = [
                (time_array(starts), time_jobs(starts), time_local(1), time_local(SLAVES))
                for _ in range(repetitions + 1)
            ][1:]  # the first compiles modules
            os.chdir("/")
    finally:
        slurm.stop()
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
