"""``Manager.get_executor`` against ``concurrent.futures.ProcessPoolExecutor``.

Run it with ``python benchmarks/executor.py [ROUNDS]`` on a machine that has nothing else to do.
Both executors have two processes, and get no-op tasks by ``submit``; the results are read by
``as_completed``. They take turns, so that a change of the machine's mood falls on both. The last
line says how much memory the master takes for each future.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from concurrent.futures import Executor, as_completed
from pathlib import Path

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


def memory_of_futures(executor: Executor) -> float:
    """Return the bytes that each of many futures takes, with its result."""
    gc.collect()
    before = resident_bytes()
    futures = [executor.submit(Noop(number)) for number in range(MEMORY_OF)]
    for _ in as_completed(futures):
        pass
    return (resident_bytes() - before) / len(futures)


def main() -> None:
    """Measure, and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with OurExecutor() as ours, Futures() as theirs:
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
        print(f"{memory_of_futures(ours.executor):,.0f} bytes for each future")


if __name__ == "__main__":
    main()
