"""Where the time of a no-op task goes: processor time of each thread and process that it passes.

Run it with ``python benchmarks/stages.py [TASKS] [REPEATS]`` (Linux). The kernel's own count is
read before and after, so that nothing is slowed down by being measured; printed are medians, in µs
for each task. The two slaves' processes are added up, and divided by all tasks.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from pathlib import Path

from peers import Ours
from slaves import wait_until_idle
from tasks import Noop


def _cpu_s(process: int, thread: int | None = None) -> float:
    task = f"task/{thread}/" if thread else ""
    return int(Path(f"/proc/{process}/{task}schedstat").read_text().split()[0]) / 1e9


def measure(count: int) -> dict[str, float]:
    """Return the µs for each task, by stage."""
    with Ours() as peer:
        context, manager = peer.context, peer.manager
        for _ in peer.run([Noop(number) for number in range(500)]):
            pass
        wait_until_idle(manager)
        (engine,) = (t.native_id for t in threading.enumerate() if t.name == "imp_parallel engine")
        slaves = manager.slaves
        supervisors = [slave.pid for slave in slaves]
        runners = [slave.runner_pid for slave in slaves]

        def now() -> list[float]:
            user = _cpu_s(os.getpid(), threading.get_native_id())
            rest = [sum(map(_cpu_s, pids)) for pids in (supervisors, runners)]
            return [user, _cpu_s(os.getpid(), engine), *rest]

        tasks = [Noop(number) for number in range(count)]
        begun_at, begun = time.perf_counter(), now()
        for task in tasks:
            context.add_task(task)
        added = now()
        for _ in context.get_results_unordered():
            pass
        ended, ended_at = now(), time.perf_counter()
    user, engine_s, supervisor, runner = (
        one - other for one, other in zip(ended, begun, strict=True)
    )
    adding = added[0] - begun[0]
    seconds = {
        "user's thread, adding": adding,
        "user's thread, reading": user - adding,
        "engine's thread": engine_s,
        "supervisors": supervisor,
        "runners": runner,
        "all": user + engine_s + supervisor + runner,
        "by the clock": ended_at - begun_at,
    }
    return {stage: 1e6 * taken / count for stage, taken in seconds.items()}


def main() -> None:
    """Measure and print."""
    count, repeats = [int(text) for text in sys.argv[1:]] + [20_000, 5][len(sys.argv) - 1 :]
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    rounds = [measure(count) for _ in range(repeats)]
    for stage in rounds[0]:
        figures = [one[stage] for one in rounds]
        middle = statistics.median(figures)
        print(f"{stage:24} {middle:6.1f}   ({min(figures):.1f} to {max(figures):.1f})")


if __name__ == "__main__":
    main()
