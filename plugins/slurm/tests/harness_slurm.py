"""Helpers of the tests with slaves in a real queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imp_parallel_slurm import SlurmSlaveArray

from imp_parallel_core import Context, Manager
from tests.support.waiting import wait_until


class Impatient(Manager):
    """A Manager that gives slaves up soon."""

    heartbeat_timeout = 5.0
    reconnect_timeout = 3.0


@contextmanager
def manager_of(
    count: int, options: str = "", *, kind: type[Manager] = Manager, python: str | None = None
) -> Iterator[Manager]:
    """Yield a Manager with an array of slaves."""
    with kind(python=python) as manager:
        manager.add_slave(SlurmSlaveArray(count, options))
        yield manager


def states(manager: Manager) -> list[str]:
    """Return the states of all slaves, in order."""
    return [slave.state for slave in manager.slaves]


def wait_for(manager: Manager, *expected: str, limit_s: float = 60.0) -> None:
    """Wait until the slaves' states are these."""
    wait_until(lambda: states(manager) == list(expected), limit_s, f"{expected}: {manager.slaves}")


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


class Log:
    """What tasks have noted: their numbers, and the array's tasks that ran them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add_tasks(self, context: Context, count: int, seconds: float) -> None:
        path = str(self._path)

        def task(number: int) -> tuple[str, str]:
            import os
            import time

            job_task = os.environ["SLURM_ARRAY_TASK_ID"]
            with open(path, "a") as file:  # noqa: PTH123
                file.write(f"{number} {job_task}\n")
            time.sleep(seconds)
            return job_task, os.environ.get("SLURM_RESTART_COUNT", "0")

        for number in range(count):
            context.add_task(task, number)

    def _lines(self) -> list[list[str]]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [line.split() for line in lines]

    def numbers(self) -> list[int]:
        return sorted(int(line[0]) for line in self._lines())

    def at_work(self) -> set[str]:
        return {line[1] for line in self._lines()}
