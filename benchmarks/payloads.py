"""Large payloads and many connections: this library against ``concurrent.futures`` and the wire.

Run it with ``python benchmarks/payloads.py [--repeats N] [MEASURE …]`` on a machine that has
nothing else to do. What is compared is measured in turn (ours, theirs, ours, …) in one process, so
that a change of the machine's mood falls on both; printed are medians, and the median of the ratios
of each pair with their range. Two slaves, or two workers, each.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from imp_parallel_local import LocalSlave
from imp_parallel_tcp._credentials import new_credentials
from imp_parallel_tcp._tls import Credentials
from imp_parallel_tcp._tls_stream import prepare

from imp_parallel_core import Context, Manager, Slave

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import file_launcher

SLAVES = 2
MEGABYTE = 1_000_000

Measure = Callable[[], float]


def echo(value: Any) -> Any:
    """Be a task that returns what it was given."""
    return value


@contextmanager
def local_context() -> Iterator[Context]:
    """Yield a context whose local slaves are ready."""
    with Manager(output=None) as manager:
        yield from context_of(manager, LocalSlave)


@contextmanager
def tcp_context() -> Iterator[Context]:
    """Yield a context whose slaves come over TLS on the loopback, and are ready."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Manager(host="localhost", output=f"{folder}/%d", plugins=[file_launcher]) as manager,
    ):
        yield from context_of(manager, file_launcher.FileSlave)


def context_of(manager: Manager, slave: Callable[[], Slave]) -> Iterator[Context]:
    """Yield a context whose slaves are ready."""
    for _ in range(SLAVES):
        manager.add_slave(slave())
    context = manager.get_context()
    while {slave.state for slave in manager.slaves} != {"idle"}:
        time.sleep(0.01)
    yield context


@contextmanager
def pool() -> Iterator[ProcessPoolExecutor]:
    """Yield an executor whose workers are there."""
    with ProcessPoolExecutor(SLAVES) as executor:
        list(executor.map(echo, range(100)))
        yield executor


def echoes_of(size: int, count: int) -> tuple[Measure, Measure]:
    """Return how to time echoes of an array of so many bytes, ours and theirs."""
    array = np.arange(size, dtype=np.uint8)

    def theirs(executor: ProcessPoolExecutor) -> None:
        for future in as_completed([executor.submit(echo, array) for _ in range(count)]):
            check(future.result(), size)

    return timed(local_context, our_echoes(array, count)), timed(pool, theirs)


def our_echoes(array: np.ndarray, count: int) -> Callable[[Context], None]:
    """Return what has an array echoed so many times."""

    def use(context: Context) -> None:
        for _ in range(count):
            context.add_task(echo, array)
        for result in context.get_results_unordered():
            check(result, len(array))

    return use


def check(result: np.ndarray, size: int) -> None:
    """Look at a result; it must be an array that can be written to."""
    if len(result) != size or result[-1] != (size - 1) % 256 or not result.flags.writeable:
        raise SystemExit("a result is wrong")


def timed(made: Callable[[], Any], use: Callable[[Any], None]) -> Measure:
    """Return a measure: how long the use of something takes, the second time."""

    def measure() -> float:
        with made() as thing:
            use(thing)
            begun_at = time.perf_counter()
            use(thing)
            return time.perf_counter() - begun_at

    return measure


# ---- over TLS


def echo_over_tls(size: int) -> tuple[Measure, Measure]:
    """Return how to time an echo over TLS: ours, and one through a bare pair of TLS sockets."""
    array = np.arange(size, dtype=np.uint8)

    def through_sockets(secured: ssl.SSLSocket) -> None:
        secured.sendall(array)
        check(np.frombuffer(receive_all(secured, size), np.uint8), size)

    return timed(tcp_context, our_echoes(array, 1)), timed(lambda: tls_pair(size), through_sockets)


@contextmanager
def tls_pair(size: int) -> Iterator[ssl.SSLSocket]:
    """Yield one end of a TLS connection; a process at the other echoes so many bytes at a time."""
    pem = new_credentials()
    with socket.create_server(("localhost", 0)) as listening:
        child = get_context("fork").Process(target=serve, args=(listening, pem, size))
        child.start()
        connected = socket.create_connection(listening.getsockname())
        prepare(connected)
        with Credentials(pem, is_master=False).context.wrap_socket(connected) as secured:
            yield secured
    child.join()


def serve(listening: socket.socket, pem: bytes, size: int) -> None:
    """Echo over TLS, in a process of its own."""
    connected, _ = listening.accept()
    prepare(connected)
    context = Credentials(pem, is_master=True).context
    with context.wrap_socket(connected, server_side=True) as secured:
        while data := receive_all(secured, size):
            secured.sendall(data)


def receive_all(secured: ssl.SSLSocket, size: int) -> bytearray:
    """Return so many bytes, or none at the end."""
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        count = secured.recv_into(view[at:])
        if not count:
            return bytearray()
        at += count
    return data


def no_ops(count: int) -> tuple[Measure, Measure]:
    """Return how to time tasks that do nothing: over TLS, and locally."""

    def use(context: Context) -> None:
        for _ in range(count):
            context.add_task(echo, None)
        for _ in context.get_results_unordered():
            pass

    return timed(tcp_context, use), timed(local_context, use)


# ---- a set-up with a large array, in scripts of their own since theirs spawns its workers

OURS = f"""
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
        for _ in range({SLAVES}):
            manager.add_slave(LocalSlave())
        context = manager.get_context(set_up)
        for number in range(200):
            context.add_task(look, number)
        assert sum(context.get_results_unordered()) == sum(range(200))
        print(time.perf_counter() - begun_at)
"""

THEIRS = f"""
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
        {SLAVES}, mp_context=get_context("spawn"), initializer=set_up, initargs=(value,)
    ) as pool:
        futures = [pool.submit(look, number) for number in range(200)]
        assert sum(future.result() for future in futures) == sum(range(200))
        print(time.perf_counter() - begun_at)
"""


def set_up_with(size: int) -> tuple[Measure, Measure]:
    """Return how to time 200 tasks after a set-up that has captured so many bytes."""
    folder = Path(tempfile.mkdtemp())

    def measure(name: str, source: str) -> Measure:
        path = folder / f"{name}.py"
        path.write_text(source)
        command = [sys.executable, str(path), str(size)]
        return lambda: float(subprocess.run(command, capture_output=True, check=True).stdout)

    return measure("ours", OURS), measure("theirs", THEIRS)


MEASURES: dict[str, Callable[[], tuple[Measure, Measure]]] = {
    "echo-100": lambda: echoes_of(100 * MEGABYTE, 1),
    "echo-1": lambda: echoes_of(MEGABYTE, 200),
    "set-up-50": lambda: set_up_with(50 * MEGABYTE),
    "tls-no-ops": lambda: no_ops(10_000),
    "tls-echo-100": lambda: echo_over_tls(100 * MEGABYTE),
}

TITLES = {
    "echo-100": ("echo of an array of 100 MB", "ProcessPoolExecutor"),
    "echo-1": ("200 echoes of an array of 1 MB", "ProcessPoolExecutor"),
    "set-up-50": ("50 MB captured by the set-up, 200 tasks", "ProcessPoolExecutor"),
    "tls-no-ops": ("10,000 tasks that do nothing, over TLS", "local slaves"),
    "tls-echo-100": ("echo of an array of 100 MB over TLS", "a bare pair of TLS sockets"),
}


def report(name: str, ours: list[float], theirs: list[float]) -> None:
    """Print two medians and how they compare."""
    ratios = sorted(other / one for one, other in zip(ours, theirs, strict=True))
    what, against = TITLES[name]
    print(
        f"{what}: {statistics.median(ours) * 1000:.0f} ms, "
        f"{against} {statistics.median(theirs) * 1000:.0f} ms, "
        f"{statistics.median(ratios):.2f} times as fast "
        f"(pairs {ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    arguments = parser.parse_args()
    for name in arguments.measures or MEASURES:
        ours, theirs = MEASURES[name]()
        rounds = [(ours(), theirs()) for _ in range(arguments.repeats + 1)][1:]
        report(name, *map(list, zip(*rounds, strict=True)))


if __name__ == "__main__":
    main()
