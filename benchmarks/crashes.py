"""What becomes of twelve good tasks if a thirteenth one ends its process by a segmentation fault.

Run it with ``python benchmarks/crashes.py``. Each way to run tasks has two processes, and a script
of its own, which is given up after a limit. Printed are how many good results came, how often good
tasks ran again, and what the script was told of the bad one. Nothing here is a matter of speed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

PROCESSES, GOOD, BAD_AT, TASK_S = 2, 12, 4, 0.2

Task = Callable[[], int]


def good(log: Path, number: int) -> int:
    """Be a good task, and leave a line for each time that it runs."""
    with log.open("a") as file:
        file.write(f"{number}\n")
    time.sleep(TASK_S)
    return number


def bad() -> int:
    """Do what C code does that follows a wrong pointer."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return -1


def call(task: Task) -> int:
    """Call a task: for those who map a function over things."""
    return task()


def results_of(futures: Iterable[Any]) -> Iterator[object]:
    """Yield the result or the error of each future."""
    for future in futures:
        error = future.exception()
        yield future.result() if error is None else error


def imp_parallel(tasks: list[Task]) -> Iterator[object]:
    """This library, with local slaves."""
    from imp_parallel_local import LocalSlaves

    from imp_parallel_core import Manager

    with Manager(output=None) as manager:
        manager.add_slave(LocalSlaves(PROCESSES))
        context = manager.get_context()
        for task in tasks:
            context.add_task(task)
        yield from context.get_results_unordered(on_error="return")


def pool(tasks: list[Task]) -> Iterator[object]:
    """``multiprocessing.Pool``."""
    import multiprocessing

    with multiprocessing.Pool(PROCESSES) as workers:
        yield from workers.imap_unordered(call, tasks)


def process_pool_executor(tasks: list[Task]) -> Iterator[object]:
    """``concurrent.futures.ProcessPoolExecutor``."""
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(PROCESSES) as executor:
        yield from results_of(as_completed([executor.submit(task) for task in tasks]))


def joblib(tasks: list[Task]) -> Iterator[object]:
    """joblib, whose processes are loky's."""
    from joblib import Parallel, delayed

    parallel = Parallel(PROCESSES, return_as="generator_unordered")
    yield from parallel(delayed(call)(task) for task in tasks)


def dask(tasks: list[Task]) -> Iterator[object]:
    """dask.distributed, with processes of this machine."""
    from distributed import Client, LocalCluster, as_completed

    with (
        LocalCluster(
            n_workers=PROCESSES, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield from results_of(as_completed(client.map(call, tasks, pure=False)))


WAYS = {
    "imp-parallel": imp_parallel,
    "multiprocessing.Pool": pool,
    "ProcessPoolExecutor": process_pool_executor,
    "joblib (loky)": joblib,
    "dask.distributed": dask,
}


def run(way: str, log: Path) -> None:
    """Run the tasks in this process; print a line of JSON for each outcome."""
    tasks: list[Task] = [partial(good, log, number) for number in range(GOOD)]
    tasks.insert(BAD_AT, bad)
    try:
        for outcome in WAYS[way](tasks):
            told = outcome if isinstance(outcome, int) else type(outcome).__name__
            print(json.dumps(told), flush=True)
    except Exception as problem:  # whatever a way tells its script
        print(json.dumps(type(problem).__name__), flush=True)


def tried(way: str, limit_s: float) -> str:
    """Return a row of the table: what became of the tasks, in a script of its own."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [sys.executable, __file__, "--way", way, "--log", str(log)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        ended = ""
        try:
            out, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            ended = f"nothing in {limit_s:.0f} s"
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
        ran = len(log.read_text().split())
        started = len(set(log.read_text().split()))
    outcomes = [json.loads(line) for line in out.splitlines()]
    values = {outcome for outcome in outcomes if isinstance(outcome, int)}
    errors = [outcome for outcome in outcomes if isinstance(outcome, str)]
    told = ended or ", ".join(f"{errors.count(name)} {name}" for name in sorted(set(errors)))
    return f"{way:22} {len(values):7} of {GOOD} {ran - started:16}  {told}"


def main() -> None:
    """Try each way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=60, help="seconds for each way")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        run(arguments.way, arguments.log)
        return
    print(f"{'':22} {'good results':>13} {'good tasks again':>16}  what the script was told")
    for way in WAYS:
        print(tried(way, arguments.limit), flush=True)


if __name__ == "__main__":
    main()
