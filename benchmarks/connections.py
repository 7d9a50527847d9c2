"""What connections cost: a master with 10 slaves, and with 2,000, over tcp with TLS.

Run it with ``python benchmarks/connections.py``. The slaves are one process that speaks the
protocol and runs nothing (``tests/support/many_slaves.py``); master and slaves share the machine.
Printed are how long it takes until all are connected, the tasks/s of both masters in turn, and how
much memory each slave takes on the master.
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imp_parallel_core import Context, Manager

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import many_slaves

TASKS = 10_000


def nothing() -> None:
    """Be a task."""


def memory_bytes() -> int:
    """Return what this process has in memory of its own."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) * 1024


@contextmanager
def master_of(count: int) -> Iterator[tuple[Context, float, float]]:
    """Yield a context of a master, the seconds until all are connected, and bytes for each."""
    gc.collect()
    before = memory_bytes()
    with Manager(host="localhost", output=None, plugins=[many_slaves]) as manager:
        begun_at = time.perf_counter()
        manager.add_slave(many_slaves.ManySlaves(count))
        while (states := Counter(slave.state for slave in manager.slaves)) != {"idle": count}:
            if states["lost"]:
                raise SystemExit(f"slaves were lost: {states}")
            time.sleep(0.5)  # looking costs more than connecting
        took_s = time.perf_counter() - begun_at
        gc.collect()
        yield manager.get_context(), took_s, (memory_bytes() - before) / count


def tasks_per_s(context: Context, count: int) -> float:
    """Return how many tasks a second are done."""
    begun_at = time.perf_counter()
    for _ in range(count):
        context.add_task(nothing)
    if sum(1 for _ in context.get_results_unordered()) != count:
        raise SystemExit("results are missing")
    return count / (time.perf_counter() - begun_at)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slaves", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with master_of(10) as (few, _, _), master_of(arguments.slaves) as (many, took_s, each_bytes):
        for context in (few, many):  # each slave is set up
            tasks_per_s(context, 2 * arguments.slaves)
        rounds = [
            (tasks_per_s(few, TASKS), tasks_per_s(many, TASKS)) for _ in range(arguments.repeats)
        ]
    ratios = sorted(of_many / of_few for of_few, of_many in rounds)
    of_few, of_many = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{arguments.slaves} slaves connected in {took_s:.1f} s")
    print(f"{each_bytes / 1000:.0f} kB of memory for each on the master")
    print(
        f"{of_many:.0f} tasks/s, with 10 slaves {of_few:.0f}: {statistics.median(ratios):.2f} "
        f"times as many (pairs {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()
