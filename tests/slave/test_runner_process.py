"""The supervisor's end of a runner: items given and taken back, time limits, and who is blamed."""

from __future__ import annotations

import fcntl
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator
from struct import Struct

import pytest

from imp_parallel_core._slave.runner_process import Limits, RunnerProcess
from imp_parallel_core._slave.runner_start import StartedRunner
from imp_parallel_core._slave.surroundings import Surroundings
from imp_parallel_core._wire import heads, protocol
from imp_parallel_core._wire.protocol import Message
from imp_parallel_core._wire.value_records import VALUE_RECORD

from ..wire.frames import bytes_of

TOKEN = Struct("!Q")
CLOSE = Message(protocol.CLOSE_CONTEXT, heads.pack_context(1))
TASKS = Message(protocol.TASKS, b"?", [b"task"])  # the supervisor's end does not look into it


class Ends(StartedRunner):
    """A process that is no runner, and the runner's ends in the hand of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.process = subprocess.Popen(["sleep", "600"])
        self.pid = self.process.pid
        self.selector = selectors.DefaultSelector()
        self.reported: list[Message] = []
        surroundings = Surroundings("/", [], [], 0)
        self.runner = RunnerProcess(
            self, surroundings, self.selector, lambda version: None, self.reported.append
        )

    def next_token(self) -> int:
        """Read a token as the runner does."""
        number: int = TOKEN.unpack(os.read(self.taken_tokens, TOKEN.size))[0]
        return number

    def send(self, kind: int, head: bytes) -> None:
        """Send a message as the runner does."""
        self._runners_wire.sendall(bytes_of(Message(kind, head, [])))

    def write_value(self, item: int) -> None:
        """Write a small value as the runner does."""
        record = VALUE_RECORD.pack(item, 0.1, 0, 4) + b"some"
        os.write(self._runners_values, record)

    def turn(self) -> None:
        """Handle what the runner has sent."""
        for key, events in self.selector.select(10.0):
            key.data(events)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if not self.runner.has_ended:
            self.runner.reaped(0, 0)
        self._leave_the_runners()
        self.selector.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_items_that_have_not_begun_are_taken_back_in_order(ends: Ends) -> None:
    ends.runner.give(TASKS, [5, 6, 7, 8])
    assert ends.next_token() == 5
    assert ends.runner.take_back() == [6, 7, 8]
    assert ends.runner.take_back() == []
    assert ends.runner.is_busy
    ends.write_value(5)
    ends.turn()
    assert not ends.runner.is_busy


def test_each_item_comes_to_a_runner_whose_pipes_are_small(ends: Ends) -> None:
    fcntl.fcntl(ends.go_ahead, fcntl.F_SETPIPE_SZ, 4096)  # as many pipes of one user are
    items = list(range(1, 1501))
    ends.runner.give(TASKS, items[:1000])
    ends.runner.give(TASKS, items[1000:])
    came: list[int] = []
    while len(came) < 900:
        try:
            came.append(ends.next_token())
        except BlockingIOError:
            ends.turn()
    assert ends.runner.take_back() == items[900:]
    ends.runner.give(TASKS, [1501])
    assert [*came, ends.next_token()] == [*items[:900], 1501]


def test_a_runner_learns_that_a_context_is_closed_though_items_are_taken_back(ends: Ends) -> None:
    ends.runner.give(CLOSE, [])
    ends.runner.give(TASKS, [5])
    assert ends.runner.take_back() == [5]
    assert ends.next_token() == 0


def test_the_first_item_that_has_begun_and_has_no_outcome_is_to_blame(ends: Ends) -> None:
    ends.runner.give(TASKS, [5, 6, 7])
    assert ends.next_token() == 5
    assert ends.next_token() == 6
    ends.write_value(5)
    ends.turn()
    end = ends.runner.reaped(signal.SIGSEGV, 1 << 20)
    assert (end.blamed_item, end.was_asked) == (6, False)
    assert end.peak_memory_bytes == 1 << 20
    assert "SIGSEGV" in end.description


def test_what_a_runner_wrote_just_before_its_end_counts(ends: Ends) -> None:
    ends.runner.give(TASKS, [5, 6])
    for _ in range(2):
        ends.next_token()
    ends.write_value(5)
    ends.send(protocol.OUTCOME, heads.pack_outcome(heads.OutcomeHead(6, heads.VALUE, 0.1)))
    assert ends.runner.reaped(signal.SIGKILL, 0).blamed_item == 0
    kinds = [message.kind for message in ends.reported]
    assert sorted(kinds) == [protocol.OUTCOME, protocol.VALUES]


@pytest.mark.parametrize("item", [4, 6])
def test_an_attempt_that_does_not_run_is_not_ended(ends: Ends, item: int) -> None:
    ends.runner.give(TASKS, [5, 6])
    ends.runner.end_item(item)
    end = ends.runner.reaped(0, 0)
    assert not end.was_asked
    assert end.description == "exited with code 0"


def test_an_attempt_that_runs_is_ended(ends: Ends) -> None:
    ends.runner.give(TASKS, [5, 6])
    ends.runner.end_item(5)
    assert ends.process.wait(30) == -signal.SIGKILL
    end = ends.runner.reaped(signal.SIGKILL, 0)
    assert end.was_asked
    assert "was ended by the master" in end.description


@pytest.mark.parametrize("is_small", [False, True])
def test_a_time_limit_runs_from_the_begin_of_an_item_to_its_outcome(
    ends: Ends, is_small: bool
) -> None:
    ends.runner.give(TASKS, [5], Limits(timeout_s=1000.0))
    assert ends.runner.deadline == float("inf")
    ends.send(protocol.BEGAN, heads.pack_item(5))
    ends.turn()
    assert 990.0 < ends.runner.deadline - time.monotonic() <= 1000.0
    if is_small:
        ends.write_value(5)
    else:
        ends.send(protocol.OUTCOME, heads.pack_outcome(heads.OutcomeHead(5, heads.VALUE, 0.1)))
    ends.turn()
    assert ends.runner.deadline == float("inf")


def test_the_time_of_a_stop_does_not_count_against_a_time_limit(ends: Ends) -> None:
    ends.runner.give(TASKS, [5], Limits(timeout_s=10.0))
    ends.send(protocol.BEGAN, heads.pack_item(5))
    ends.turn()
    deadline = ends.runner.deadline
    ends.runner.was_stopped(500.0)
    assert ends.runner.deadline == deadline + 500.0
    ends.runner.kill_if_overdue(deadline + 500.0)
    assert ends.process.wait(30) == -signal.SIGKILL
    assert "overran its time limit of 10 s" in ends.runner.reaped(9, 0).description


@pytest.mark.parametrize("has_just_ended", [False, True])
def test_an_item_that_holds_too_much_is_blamed_unless_it_has_just_ended(
    ends: Ends, has_just_ended: bool
) -> None:
    ends.runner.give(TASKS, [5, 6], Limits(memory_bytes=1))  # no process holds so little
    assert ends.next_token() == 5
    looks_at = ends.runner.deadline
    ends.runner.kill_if_overdue(looks_at - 1.0)
    assert ends.process.poll() is None
    ends.runner.kill_if_overdue(looks_at)
    if has_just_ended:  # nobody knew
        ends.write_value(5)
        assert ends.next_token() == 6
    assert ends.process.wait(30) == -signal.SIGKILL
    end = ends.runner.reaped(signal.SIGKILL, 0)
    # with as many decimals as show that what has just begun holds more
    allowed = r"more than the 0(\.0+)? MB that its context's task_memory_bytes allows"
    assert re.search(allowed, end.description)
    assert (end.blamed_item, end.has_exceeded) == ((0, False) if has_just_ended else (5, True))
    assert end.peak_memory_bytes > 1
    assert ends.runner.deadline == float("inf")
