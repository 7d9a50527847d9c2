"""How long slaves on a Grid Engine take to start, against local ones.

Run it with ``python benchmarks/grid_engine.py [REPETITIONS]``, as root on Debian: it starts a Grid
Engine of its own, as the tests do. Measured are, in turn:

- an array on four slots: from the moment that Grid Engine starts the first job's script (what is
  before that is the batch system's) until the master has the first result;
- one local slave, and four: from ``add_slave`` until the master has the first result.

Four slaves have to share the machine's cores while they start, wherever they do.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from imp_parallel_local import LocalSlave
from imp_parallel_sge import SGEQsubSlaveArray

from imp_parallel_core import Manager, Slave
from tests.support.grid_engine import Cell, install

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


def time_array(cell: Cell) -> float:
    """Return the seconds from the start of the first job's script to the first result."""
    _, result_at = first_result_at([SGEQsubSlaveArray(SLAVES)])
    starts = [float(file.read_text()) for file in cell.started.iterdir()]
    for file in cell.started.iterdir():
        file.unlink()
    return result_at - min(starts)


def time_local(count: int) -> float:
    """Return the seconds from ``add_slave`` to the first result, with so many local slaves."""
    begun_at, result_at = first_result_at([LocalSlave() for _ in range(count)])
    return result_at - begun_at


def main() -> None:
    """Measure and print."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    install()
    cell = Cell(slots=SLAVES)
    try:
        cell.start()
        cell.note_starts()
        os.environ.update(cell.environment)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            rounds = [
                (time_array(cell), time_local(1), time_local(SLAVES))
                for _ in range(repetitions + 1)
            ][1:]  # the first compiles modules
            os.chdir("/")
    finally:
        cell.stop()
    array, one, four = ([round[at] for round in rounds] for at in range(3))
    print(f"array of {SLAVES}, script's start to first result: {_describe(array)}")
    for name, local in (("one local slave", one), (f"{SLAVES} local slaves", four)):
        ratios = [mine / other for mine, other in zip(array, local, strict=True)]
        print(
            f"{name}: {_describe(local)}; the array takes {statistics.median(ratios):.2f} times "
            f"as long (pairs {min(ratios):.2f} to {max(ratios):.2f})"
        )


def _describe(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.0f} ms"


if __name__ == "__main__":
    main()
