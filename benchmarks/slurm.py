"""How long slaves on a Slurm take to start, against jobs that only start a Python, and local ones.

Run it with ``python benchmarks/slurm.py [REPETITIONS]``, as root on Debian: it starts a Slurm of
its own, as the tests do. Measured are, in turn:

- an array of four slaves: from ``add_slave`` until the master has the first result;
- an array of four jobs that only run ``python -c``: from ``sbatch`` until the first of them has
  made a file. This is the batch system's own time, and Python's;
- one local slave, and four: from ``add_slave`` until the master has the first result.
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


def time_slaves(slaves: list[Slave]) -> float:
    """Return the seconds from ``add_slave`` to the first result."""
    with Manager(output=str(Path.cwd() / "slave%d.output")) as manager:
        context = manager.get_context()
        for _ in range(SLAVES):
            context.add_task(os.getpid)
        begun = time.monotonic()
        for slave in slaves:
            manager.add_slave(slave)
        next(context.get_results_unordered())
        return time.monotonic() - begun


def time_jobs(slurm: Slurm) -> float:
    """Return the seconds from ``sbatch`` until the first job's Python has done something."""
    made = Path("made")
    program = f"open({str(made.resolve())!r}, 'w').close()"
    script = f'#!/bin/bash\n{sys.executable} -c "{program}"\n'
    command = ["sbatch", "--parsable", f"--array=1-{SLAVES}", "--output=/dev/null"]
    begun = time.monotonic()
    subprocess.run(command, input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    wait_until(made.exists, what="the first job")
    taken = time.monotonic() - begun
    wait_until(lambda: not slurm.jobs(), what="the end of all jobs")
    made.unlink()
    return taken


def main() -> None:
    """Measure and print."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    install()
    slurm = Slurm()
    try:
        slurm.start()
        os.environ.update(slurm.environment)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            rounds = []
            for _ in range(repetitions + 1):
                array = time_slaves([SlurmSlaveArray(SLAVES)])
                wait_until(lambda: not slurm.jobs(), what="the end of the array")
                one = time_slaves([LocalSlave()])
                four = time_slaves([LocalSlave() for _ in range(SLAVES)])
                rounds.append((array, time_jobs(slurm), one, four))
            os.chdir("/")
    finally:
        slurm.stop()
    array_s, jobs_s, one_s, four_s = zip(*rounds[1:], strict=True)  # the first compiles modules
    print(f"array of {SLAVES}, add_slave to first result: {_describe(array_s)}")
    for name, others in (
        (f"array of {SLAVES} that only runs python -c", jobs_s),
        ("one local slave", one_s),
        (f"{SLAVES} local slaves", four_s),
    ):
        more = [mine - other for mine, other in zip(array_s, others, strict=True)]
        print(
            f"{name}: {_describe(others)}; the slaves of the array take "
            f"{statistics.median(more) * 1000:.0f} ms longer"
        )


def _describe(seconds: tuple[float, ...]) -> str:
    low, middle, high = (
        f"{1000 * each:.0f}" for each in (min(seconds), statistics.median(seconds), max(seconds))
    )
    return f"{middle} ms ({low} to {high})"


if __name__ == "__main__":
    main()
