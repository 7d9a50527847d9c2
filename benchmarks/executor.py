"""``Manager.get_executor`` against ``ProcessPoolExecutor``, and joblib on slaves against loky.

Run it with ``python benchmarks/executor.py [ROUNDS]`` on a machine that has nothing else to do.
Both executors have two processes, and get no-op tasks by ``submit``; the results are read by
``as_completed``. They take turns, so that a change of the machine's mood falls on both. Then comes
how much memory the master takes for each of 100,000 futures, and how many blocks of memory are left
of all when they have been dropped.

At the end scikit-learn's ``GridSearchCV`` searches by joblib, in turns on two slaves and on two of
loky's processes. All of them have been at work before, and the data, of more than 1 MiB, is made
once.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, wait
from pathlib import Path
from typing import Any

from measures import warm
from peers import Futures, Ours, Peer
from tasks import Noop

COUNT = 10_000  # futures of one run; many more would measure the garbage collector, in both
MEMORY_OF = 100_000  # futures


class OurExecutor(Ours):
    """This library's executor, with local slaves."""

    name = "ours"

    def start(self) -> None:
        """Start the slaves."""
        super().start()
        self.executor: Executor = self._stack.enter_context(self.manager.get_executor())

    run = Futures.run


def rate(peer: Peer) -> float:
    """Return the tasks/s of one run."""
    tasks = [Noop(number) for number in range(COUNT)]
    begun_at = time.perf_counter()
    count = sum(1 for _ in peer.run(tasks))
    return count / (time.perf_counter() - begun_at)


def resident_bytes() -> int:
    """Return how much memory this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_of_futures(executor: Executor) -> tuple[float, int]:
    """Return the bytes that each of many futures takes, and the blocks that are left of all."""
    executor.submit(Noop(0)).result()
    gc.collect()
    before, blocks = resident_bytes(), sys.getallocatedblocks()
    futures = [executor.submit(Noop(number)) for number in range(MEMORY_OF)]
    wait(futures)
    taken_bytes = (resident_bytes() - before) / len(futures)
    futures.clear()
    executor.submit(Noop(0)).result()  # its thread refers to this future now
    gc.collect()
    return taken_bytes, sys.getallocatedblocks() - blocks


def make_search() -> Callable[[], Any]:
    """Return what makes a grid search of some seconds, with data that is made now."""
    from sklearn.datasets import make_classification
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    data, classes = make_classification(2000, 80, random_state=0)
    grid = {"C": [0.1, 1.0, 10.0], "gamma": [0.001, 0.01, 0.1]}
    return lambda: GridSearchCV(SVC(), grid).fit(data, classes)


def measure_searches(ours: Ours, rounds: int) -> None:
    """Measure grid searches by joblib, on slaves and on loky's processes; print."""
    import imp_parallel_joblib  # noqa: F401  # which makes its name known to joblib
    import joblib

    search = make_search()
    backends: dict[str, dict[str, Any]] = {
        "joblib on slaves": {"backend": "imp_parallel", "manager": ours.manager},
        "joblib on loky": {"backend": "loky", "n_jobs": ours.slaves},
    }
    taken: dict[str, list[float]] = {name: [] for name in backends}
    for number in range(rounds + 1):
        for name, backend in backends.items():
            with joblib.parallel_config(**backend):
                begun_at = time.perf_counter()
                search()
                if number:  # the first search starts processes and imports scikit-learn there
                    taken[name].append(time.perf_counter() - begun_at)
    for name, some in taken.items():
        spread = f"{min(some):.2f} to {max(some):.2f}"
        print(f"{name:20} {statistics.median(some):8.2f} s (median of {rounds}, {spread})")
    first, second = map(statistics.median, taken.values())
    print(f"{first / second:.2f} times the time")


def measure_calls(ours: OurExecutor, rounds: int) -> None:
    """Measure no-op calls, and the memory of futures; print."""
    with Futures() as theirs:
        rates: dict[str, list[float]] = {peer.name: [] for peer in (ours, theirs)}
        for peer in (ours, theirs):
            warm(peer)
        for _ in range(rounds):
            for peer in (ours, theirs):
                rates[peer.name].append(rate(peer))
        medians = {name: statistics.median(some) for name, some in rates.items()}
        for name, some in rates.items():
            spread = f"{min(some):,.0f} to {max(some):,.0f}"
            print(f"{name:20} {medians[name]:8,.0f} tasks/s (median of {rounds}, {spread})")
        print(f"{medians[ours.name] / medians[theirs.name]:.1f} times as many")
    taken_bytes, left = memory_of_futures(ours.executor)
    print(f"{taken_bytes:,.0f} bytes for each future, and {left} blocks left of {MEMORY_OF:,}")


def main() -> None:
    """Measure, and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with OurExecutor() as ours:
        measure_calls(ours, rounds)
        measure_searches(ours, rounds)


if __name__ == "__main__":
    main()
