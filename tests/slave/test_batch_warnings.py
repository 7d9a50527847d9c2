"""A slave that its batch system warns: what it tells the master, and which tasks it hands back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.shared_memory import open_segment

from ..support.false_master import GivingMaster

WARNED_BEFORE = ("warned", "60")  # the batch system warns a minute before it stops or ends a slave


@contextmanager
def slave_of_master(folder: Path, *arguments: str) -> Iterator[GivingMaster]:
    """Start a slave; yield its master."""
    master = GivingMaster(folder, *arguments)
    try:
        master.begin()
        yield master
    finally:
        master.close()


def reason_of(master: GivingMaster, kind: int) -> bytes:
    """Return the reason in the next message of a kind."""
    (reason,) = master.next(kind).segments
    return bytes(open_segment(reason))


def test_a_slave_that_will_be_stopped_or_ended_takes_no_tasks_until_it_is_continued(
    tmp_path: Path,
) -> None:
    with slave_of_master(tmp_path, *WARNED_BEFORE) as master:
        os.kill(master.supervisor, signal.SIGUSR1)
        assert reason_of(master, protocol.PAUSED) == b"received SIGUSR1"
        assert master.next_taken_back() == []
        master.give(5)
        assert master.next_taken_back() == [5]
        os.kill(master.supervisor, signal.SIGCONT)
        master.next(protocol.RESUMED)
        master.give(6)
        assert master.next_value() == (6, 6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_a_slave_that_will_be_ended_hands_back_tasks_that_still_arrive(
    tmp_path: Path, number: signal.Signals
) -> None:
    with slave_of_master(tmp_path) as master:
        os.kill(master.supervisor, number)
        assert reason_of(master, protocol.LEAVING) == f"received {number.name}".encode()
        assert master.next_taken_back() == []
        master.give(5)
        assert master.next_taken_back() == [5]
        master.send(protocol.LEAVE)
        assert f"received {number.name}; this slave takes no more tasks" in master.last_words()


def test_a_paused_slave_that_is_warned_of_its_end_leaves(tmp_path: Path) -> None:
    with slave_of_master(tmp_path, *WARNED_BEFORE) as master:
        os.kill(master.supervisor, signal.SIGUSR1)
        master.next(protocol.PAUSED)
        os.kill(master.supervisor, signal.SIGTERM)
        assert reason_of(master, protocol.LEAVING) == b"received SIGTERM"


def test_a_slave_that_has_sent_everything_does_not_wait_for_its_leave_without_end(
    tmp_path: Path,
) -> None:
    with slave_of_master(tmp_path) as master:
        os.kill(master.supervisor, signal.SIGTERM)
        assert "this slave takes no more tasks" in master.last_words()
