"""What a fault costs: three local slaves, 12 tasks of 0.5 s, and one thing that goes wrong.

Run it with ``python benchmarks/faults.py``. Each case is run several times, in turn with the
undisturbed one; printed are medians, and what the fault has cost beyond the undisturbed run.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from imp_parallel_local import LocalSlave
from slaves import wait_until_idle

from imp_parallel_core import Context, Manager

SLAVES, TASKS, TASK_S = 3, 12, 0.5


def sleep(log: Path, number: int) -> int:
    """Be a good task; leave a line for each time that it runs."""
    with log.open("a") as file:
        file.write(f"{number}\n")
    time.sleep(TASK_S)
    return number


def nothing(manager: Manager, context: Context) -> None:
    """Disturb nothing."""


def kill_a_runner(manager: Manager, context: Context) -> None:
    """Kill one runner in the middle of its first task."""

    def kill() -> None:
        pid = manager.slaves[0].runner_pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    threading.Timer(TASK_S / 2, kill).start()


def kill_a_slave(manager: Manager, context: Context) -> None:
    """Kill one slave's supervisor in the middle of its first task."""

    def kill() -> None:
        pid = manager.slaves[0].pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    threading.Timer(TASK_S / 2, kill).start()


def poison(manager: Manager, context: Context) -> None:
    """Add a task that segfaults whenever it is tried."""
    context.add_task(lambda: os.kill(os.getpid(), signal.SIGSEGV))


def bad_exit(manager: Manager, context: Context) -> None:
    """Add a task that leaves through os._exit."""
    context.add_task(lambda: os._exit(1))


CASES: dict[str, Callable[[Manager, Context], None]] = {
    "undisturbed": nothing,
    "a runner killed": kill_a_runner,
    "a whole slave killed": kill_a_slave,
    "a task that segfaults": poison,
    "a task that calls os._exit": bad_exit,
}


def run(disturb: Callable[[Manager, Context], None], folder: Path) -> tuple[float, int, int]:
    """Return the seconds that a case took, its good results, and how many tasks ran again."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    with Manager(output=str(folder / "slave%d.output")) as manager:
        for _ in range(SLAVES):
            manager.add_slave(LocalSlave())
        context = manager.get_context()
        wait_until_idle(manager)
        begun_at = time.perf_counter()
        disturb(manager, context)
        for number in range(TASKS):
            context.add_task(sleep, log, number)
        results = list(context.get_results_unordered(on_error="return"))
        duration_s = time.perf_counter() - begun_at
    good = sum(isinstance(result, int) for result in results)
    return duration_s, good, len(log.read_text().split()) - TASKS


def main() -> None:
    """Run all cases in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each case")
    repeats = parser.parse_args().repeats
    logging.getLogger("imp_parallel").setLevel(logging.CRITICAL)  # the faults are known
    runs: dict[str, list[tuple[float, int, int]]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for name, disturb in CASES.items():
                runs[name].append(run(disturb, Path(folder)))
    plain_s = statistics.median(duration_s for duration_s, _, _ in runs["undisturbed"])
    print(f"{SLAVES} slaves, {TASKS} tasks of {TASK_S} s; medians of {repeats} runs in turn")
    print(f"{'case':28} {'s':>6} {'extra s':>8} {'good results':>13} {'tasks run again':>16}")
    for name, measured in runs.items():
        took_s = statistics.median(duration_s for duration_s, _, _ in measured)
        good = min(good for _, good, _ in measured)
        again = max(again for _, _, again in measured)
        extra_s = took_s - plain_s
        print(f"{name:28} {took_s:6.2f} {extra_s:8.2f} {good:10} of {TASKS} {again:13}")


if __name__ == "__main__":
    main()
