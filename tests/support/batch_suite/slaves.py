"""Slaves in a queue, and tasks for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imp_parallel_core import Context, Manager
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.waiting import wait_until


def expression_of(batch: BatchCluster, options: str = "") -> str:
    """Return the expression of one slave."""
    return f"{batch.array.__name__}(1, {options!r})"


@contextmanager
def manager_of(
    batch: BatchCluster, count: int, options: str = "", *, python: str | None = None
) -> Iterator[Manager]:
    """Yield a Manager with an array of slaves."""
    with Manager(python=python) as manager:
        manager.add_slave(batch.array(count, options))
        yield manager


def states(manager: Manager) -> list[str]:
    """Return the states of all slaves, in order."""
    return [slave.state for slave in manager.slaves]


def wait_for(manager: Manager, *expected: str) -> None:
    """Wait until the slaves' states are these."""
    what = f"{expected}: {manager.slaves}"
    wait_until(lambda: states(manager) == list(expected), 60.0, what)


class Thrifty(Manager):
    """A Manager that soon withdraws jobs that wait in vain."""

    surplus_timeout = 1.0


def wait_for_file(path: str) -> str:
    """Return when a file is there: a task that lasts as long as a test wants."""
    wait_until(Path(path).exists, 600.0)
    return path


def read_meanwhile(context: Context) -> tuple[threading.Thread, list[str]]:
    """Read all results in a thread."""
    found: list[str] = []
    results = context.get_results_unordered()
    reader = threading.Thread(target=lambda: found.extend(results))
    reader.start()
    return reader, found


def squares(context: Context, count: int, seconds: float = 0.05) -> None:
    """Add tasks that take a while."""

    def square(number: int) -> int:
        import time

        time.sleep(seconds)
        return number * number

    for number in range(count):
        context.add_task(square, number)


def squared(count: int) -> list[int]:
    """Return what :func:`squares` gives."""
    return [number * number for number in range(count)]
