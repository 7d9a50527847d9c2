"""A batch system that the tests of a plugin start, and what each of these tests may leave there."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from tests.support.as_root import signal_as_root
from tests.support.waiting import is_alive, wait_until

_ENDING_S = 10.0


class Running(Protocol):
    """A batch system with daemons of the tests' own."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What its commands need."""

    def start(self) -> None:
        """Start it, and wait until it takes jobs."""

    def stop(self) -> None:
        """End it with all its jobs."""

    def in_use(self) -> AbstractContextManager[None]:
        """See to it that nothing is left in the queue, and no job's process."""


System = TypeVar("System", bound=Running)


@contextmanager
def started(system: System) -> Iterator[System]:
    """Start a batch system for all tests that need one, and end it."""
    try:
        system.start()
        yield system
    finally:
        system.stop()


@contextmanager
def used_in(folder: Path, system: System) -> Iterator[System]:
    """Have a test run where jobs are submitted, in a folder of its own.

    What it leaves in the queue is its failure.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name, value in system.environment.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        with system.in_use():
            yield system


def check_that_nothing_is_left(kept: Sequence[str], processes: Mapping[int, str]) -> None:
    """Fail if jobs or processes are left; kill processes that do not end by themselves.

    Args:
        kept: the jobs that nobody has deleted.
        processes: pid and command line of each process of a job.
    """
    left = {pid: line for pid, line in processes.items() if not _ends_soon(pid)}
    signal_as_root(signal.SIGKILL, *left)
    assert not kept, f"left in the queue: {kept}"
    assert not left, f"left running: {left}"


def _ends_soon(pid: int) -> bool:
    try:
        wait_until(lambda: not is_alive(pid), _ENDING_S)
    except AssertionError:
        return False
    return True
