"""What is measured. Each measure runs one peer once, and returns one figure."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from peers import Ours, Peer
from tasks import Noop, Sleep, echo, exponential, least_s

Figure = Callable[[type[Peer]], float]


class Measure(NamedTuple):
    """A measure, and how to tell people of it."""

    name: str
    title: str
    unit: str
    run: Figure
    peers: tuple[str, ...] = ()
    """Who else is measured; all that are installed by default."""
    only_ours: bool = False
    smaller_is_better: bool = False


_COUNTS = {"imp-parallel": 20_000, "Pool": 20_000, "dask.distributed": 1_000}
_WARM_UP = 300


def _rate(peer: Peer, tasks: list[Callable[[], object]]) -> float:
    begun_at = time.perf_counter()
    count = sum(1 for _ in peer.run(tasks))
    return count / (time.perf_counter() - begun_at)


def rate_of(kind: Callable[[int], Callable[[], object]]) -> Figure:
    """Return what measures the tasks/s of instances of a class."""

    def run(peer_type: type[Peer]) -> float:
        count = _COUNTS.get(peer_type.name, 5_000)
        with peer_type() as peer:
            warm(peer, kind)
            return _rate(peer, [kind(number) for number in range(count)])

    return run


def warm(peer: Peer, kind: Callable[[int], Callable[[], object]] = Noop) -> None:
    """Have the processes started, and their modules imported."""
    for _ in peer.run([kind(number) for number in range(_WARM_UP)]):
        pass


def round_trip(peer_type: type[Peer]) -> float:
    """Return the median of the µs from handing over a task to its result, one at a time."""
    taken: list[float] = []
    with peer_type() as peer:
        warm(peer)
        for number in range(50 if peer_type.name == "dask.distributed" else 500):
            begun_at = time.perf_counter()
            list(peer.run([Noop(number)]))
            taken.append(time.perf_counter() - begun_at)
    return statistics.median(taken) * 1e6


def efficiency(peer_type: type[Peer]) -> float:
    """Return the part of the slaves' time that 400 tasks of 10 ms in the mean took themselves."""
    with peer_type() as peer:
        warm(peer)
        begun_at = time.perf_counter()
        durations = list(peer.run(exponential(400, 0.01)))
        taken_s = time.perf_counter() - begun_at
    return least_s(durations, peer.slaves) / taken_s


def one_long(peer_type: type[Peer]) -> float:
    """Return by how much one task of 2 s among 2,000 of 1 ms takes longer than it has to."""
    with peer_type() as peer:
        warm(peer)
        begun_at = time.perf_counter()
        durations = list(peer.run([Sleep(0.001)] * 1000 + [Sleep(2.0)] + [Sleep(0.001)] * 1000))
        taken_s = time.perf_counter() - begun_at
    return taken_s / _least_in_this_order_s(durations, peer.slaves)


def _least_in_this_order_s(durations: Iterable[float], slaves: int) -> float:
    """Return how long it takes at least if tasks begin in the order in which they were added."""
    short = sorted(durations)
    long_s = short.pop()
    mean_s = statistics.fmean(short)
    before_s = len(short) / 2 * mean_s / slaves
    after = len(short) / 2 * mean_s
    rest_s = max(long_s, after / (slaves - 1), (long_s + after) / slaves)
    return before_s + rest_s


def killed(peer_type: type[Peer]) -> float:
    """Return the seconds that a runner's death in the midst of 20 tasks of 0.2 s costs."""
    return _twenty(kills=True) - _twenty(kills=False)


def _twenty(*, kills: bool) -> float:
    with Ours() as peer:
        warm(peer)
        pid = peer.manager.slaves[0].runner_pid
        timer = threading.Timer(0.9, lambda: os.kill(pid, signal.SIGKILL) if kills else None)
        timer.start()
        begun_at = time.perf_counter()
        results = list(peer.run([Sleep(0.2)] * 20))
        taken_s = time.perf_counter() - begun_at
        timer.join()
    if len(results) != 20:
        raise RuntimeError(f"only {len(results)} results")
    return taken_s


def _in_another_process(call: str) -> float:
    """Return the figure that a call of this module prints in a process of its own."""
    program = f"import measures; print(measures.{call})"
    folder = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def memory(peer_type: type[Peer]) -> float:
    """Return the master's bytes for each of a million queued tasks."""
    return _in_another_process("queue_a_million()")


def queue_a_million(count: int = 1_000_000) -> float:
    """Queue tasks for slaves that never come."""
    from imp_parallel_core import Manager

    with Manager(output=None) as manager:
        context = manager.get_context()
        for number in range(1000):
            context.add_task(Noop(number))
        before = _resident_bytes()
        for number in range(count):
            context.add_task(Noop(number))
        len(manager.slaves)  # the engine has taken them
        return (_resident_bytes() - before) / count


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def map_rate(peer_type: type[Peer]) -> float:
    """Return the tasks/s of a million no-op tasks through ``Context.map``."""
    return _in_another_process("map_a_million()[0]")


def map_memory(peer_type: type[Peer]) -> float:
    """Return by how many MB the master grows in the last nine tenths of a million tasks."""
    return _in_another_process("map_a_million()[1]")


def map_a_million(count: int = 1_000_000) -> tuple[float, float]:
    """Return tasks/s, and by how many MB the master has grown since a tenth was done."""
    with Ours() as peer:
        warm(peer)
        begun_at = time.perf_counter()
        before = 0
        for done, _ in enumerate(peer.context.map_unordered(echo, range(count))):
            if done == count // 10:
                before = _resident_bytes()
        taken_s = time.perf_counter() - begun_at
        return count / taken_s, (_resident_bytes() - before) / 1e6


def idle(peer_type: type[Peer]) -> float:
    """Return the per cent of a core that a master with 100 idle local slaves takes."""
    with Ours(slaves=100):
        begun_at, begun_cpu_s = time.perf_counter(), time.process_time()
        with contextlib.suppress(TimeoutError):
            time.sleep(10)
        taken_s = time.perf_counter() - begun_at
        return 100 * (time.process_time() - begun_cpu_s) / taken_s


def floor_rate(peer_type: type[Peer]) -> float:
    """Return the tasks/s of a raw loop (see :mod:`floor`)."""
    import floor

    return floor.rate(20_000)
