"""Measures of large payloads: echoes of arrays, what a set-up captured, a slow reader."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peers import Ours, Peer
from tasks import Echo, Noop

MEGABYTE = 1_000_000


def echo(size: int, count: int) -> Callable[[type[Peer]], float]:
    """Return what measures the MB/s of echoes of an array of so many bytes, the second time."""

    def run(peer_type: type[Peer]) -> float:
        with peer_type() as peer:
            echoes_s(peer, size, count)
            return count * size / MEGABYTE / echoes_s(peer, size, count)

    return run


def echoes_s(peer: Peer, size: int, count: int) -> float:
    """Return the seconds that echoes of an array take."""
    array = np.arange(size, dtype=np.uint8)
    begun_at = time.perf_counter()
    for result in peer.run([Echo(array)] * count):
        check(result, size)
    return time.perf_counter() - begun_at


def check(result: np.ndarray, size: int) -> None:
    """Look at a result; it must be an array that can be written to."""
    if len(result) != size or result[-1] != (size - 1) % 256 or not result.flags.writeable:
        raise RuntimeError("a result is wrong")


# ---- a set-up with a large array, in scripts of their own since theirs spawns its workers

_OURS = """
import sys, time
import numpy as np
from imp_parallel_core import Manager
from imp_parallel_local import LocalSlave

array = np.arange(int(sys.argv[1]), dtype=np.uint8)

def set_up():
    return array

def look(array, number):
    return int(array[number])

if __name__ == "__main__":
    begun_at = time.perf_counter()
    with Manager(output=None) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context(set_up)
        for number in range(200):
            context.add_task(look, number)
        assert sum(context.get_results_unordered()) == sum(range(200))
        print(time.perf_counter() - begun_at)
"""

_THEIRS = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import numpy as np

def set_up(value):
    global array
    array = value

def look(number):
    return int(array[number])

if __name__ == "__main__":
    value = np.arange(int(sys.argv[1]), dtype=np.uint8)
    begun_at = time.perf_counter()
    with ProcessPoolExecutor(
        2, mp_context=get_context("spawn"), initializer=set_up, initargs=(value,)
    ) as pool:
        futures = [pool.submit(look, number) for number in range(200)]
        assert sum(future.result() for future in futures) == sum(range(200))
        print(time.perf_counter() - begun_at)
"""


def set_up(peer_type: type[Peer]) -> float:
    """Return the ms from nothing to 200 results, after a set-up that has captured 50 MB."""
    source = _OURS if peer_type is Ours else _THEIRS
    return float(run_script(source, str(50 * MEGABYTE))) * 1000


def run_script(source: str, *arguments: str) -> str:
    """Run a script in a process of its own; return what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.py"
        path.write_text(source)
        command = [sys.executable, str(path), *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout


# ---- an array that many tasks share


class Look:
    """A task that holds an array, and looks at one place of it."""

    def __init__(self, array: np.ndarray, number: int) -> None:
        self.array = array
        self.number = number

    def __call__(self) -> int:
        """Run."""
        return int(self.array[self.number])


def shared_s(peer_type: type[Peer]) -> float:
    """Return the s that 100 tasks take which hold the same array of 50 MB."""
    return _share(peer_type)[0]


def shared_mb(peer_type: type[Peer]) -> float:
    """Return by how many MB the master grows meanwhile, and the system's shared memory."""
    return _share(peer_type)[1]


def _share(peer_type: type[Peer]) -> tuple[float, float]:
    array = np.arange(50 * MEGABYTE, dtype=np.uint8)
    with peer_type() as peer:
        for _ in peer.run([Noop(number) for number in range(10)]):
            pass
        with _Growth() as growth:
            begun_at = time.perf_counter()
            total = sum(peer.run([Look(array, number) for number in range(100)]))
            taken_s = time.perf_counter() - begun_at
    if total != sum(range(100)):
        raise RuntimeError("a result is wrong")
    return taken_s, growth.most_bytes / MEGABYTE


class _Growth:
    """Looks at memory again and again: this process's own, and all that processes share."""

    def __enter__(self) -> _Growth:
        self.most_bytes = 0
        self._before = _own_and_shared_bytes()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            self.most_bytes = max(self.most_bytes, _own_and_shared_bytes() - self._before)


def _own_and_shared_bytes() -> int:
    return _kibibytes("/proc/self/status", "RssAnon:") + _kibibytes("/proc/meminfo", "\nShmem:")


def _kibibytes(path: str, name: str) -> int:
    """Return a figure that the system gives in kiB, in bytes."""
    return 1024 * int(Path(path).read_text().partition(name)[2].split()[0])


# ---- a slow reader

_SLOW = """
import time
from pathlib import Path
from imp_parallel_core import Manager
from imp_parallel_local import LocalSlave

def used():
    "What this process has in memory: its own, and the shared memory that it has mapped."
    own = 1024 * int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])
    mapped = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "memfd:" in line:
            first, last = (int(end, 16) for end in line.split()[0].split("-"))
            mapped[line.split()[4]] = last - first
    return own + sum(mapped.values())

if __name__ == "__main__":
    peak = 0
    with Manager(output=None) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context()
        for _ in range(30):
            context.add_task(bytes, 50_000_000)
        for count, result in enumerate(context.get_results_unordered()):
            until = time.monotonic() + (2.0 if count < 3 else 0.2)
            while time.monotonic() < until:
                peak = max(peak, used())
                time.sleep(0.02)
    print(peak / 1e6)
"""


def slow_reader(peer_type: type[Peer]) -> float:
    """Return the MB that the master takes at most while results of 50 MB are read slowly."""
    return float(run_script(_SLOW))
