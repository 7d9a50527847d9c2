"""Runners that die among many short tasks, which travel and come home together."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager, TaskLostError
from tests.support.waiting import wait_until

TASKS = 600


class Marked:
    """A short task that leaves a byte for each time that it begins."""

    def __init__(self, log: str, number: int) -> None:
        self.log = log
        self.number = number

    def __call__(self) -> int:
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.write(descriptor, b"%08d\n" % self.number)
        os.close(descriptor)
        return self.number


class Deadly(Marked):
    """A task that kills its runner when it is tried for the first time, or always."""

    def __init__(self, log: str, number: int, always: bool) -> None:
        super().__init__(log, number)
        self.always = always

    def __call__(self) -> int:
        number = super().__call__()
        if self.always or begun(self.log)[number] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number


def begun(log: str | Path) -> Counter[int]:
    """Return how often each task has begun."""
    return Counter(map(int, Path(log).read_text().split()))


def run(manager: Manager, log: Path, deadly: dict[int, bool]) -> list[object]:
    """Run many short tasks after one that shows how short they are; some are deadly."""
    context = manager.get_context()
    context.add_task(int)
    list(context.get_results())
    for number in range(TASKS):
        if number in deadly:
            context.add_task(Deadly(str(log), number, deadly[number]))
        else:
            context.add_task(Marked(str(log), number))
    return list(context.get_results(on_error="return"))


def test_a_runner_that_dies_once_between_tasks_that_came_together_costs_one_attempt(
    one_slave: Manager, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    deadly = {100: False, 101: False, 350: False}
    assert run(one_slave, log, deadly) == list(range(TASKS))
    assert begun(log) == {number: 2 if number in deadly else 1 for number in range(TASKS)}


def test_the_task_that_kills_its_runner_is_charged_and_no_innocent_runs_twice(
    two_slaves: Manager, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    results = run(two_slaves, log, {300: True})
    lost = results[300]
    assert isinstance(lost, TaskLostError)
    assert len(lost.attempts) == 3
    assert all("SIGKILL" in attempt for attempt in lost.attempts)
    assert results[:300] + results[301:] == [n for n in range(TASKS) if n != 300]
    assert begun(log) == {number: 3 if number == 300 else 1 for number in range(TASKS)}


def test_whenever_a_runner_is_killed_each_outcome_comes_once_and_one_attempt_is_lost(
    tmp_path: Path,
) -> None:
    """From outside, at any moment: between two values in the pipe, in the midst of one, …"""
    log = tmp_path / "log"
    kills = 0
    with Manager(output=None) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context(max_attempts=100)
        for number in range(10 * TASKS):
            context.add_task(Marked(str(log), number))
        found = []
        for result in context.get_results_unordered():
            found.append(result)
            if len(found) % 700 == 350:
                pid = manager.slaves[kills % 2].runner_pid
                if pid is not None:
                    with suppress(ProcessLookupError):  # it is being replaced
                        os.kill(pid, signal.SIGKILL)
                        kills += 1
        assert sorted(found) == list(range(10 * TASKS))
    assert kills >= 3
    again = sum(count - 1 for count in begun(log).values())
    assert again <= kills


def test_values_that_are_too_large_for_the_pipe_keep_their_tasks(
    one_slave: Manager, tmp_path: Path
) -> None:
    """Small values go by the pipe, large ones over the wire: every outcome comes once."""

    def sized(number: int) -> bytes:
        return bytes([number % 251]) * (100_000 if number % 3 == 0 else number)

    context = one_slave.get_context()
    for number in range(300):
        context.add_task(sized, number)
    assert list(context.get_results()) == [sized(number) for number in range(300)]


def test_time_limits_hold_among_many_short_tasks(one_slave: Manager, tmp_path: Path) -> None:
    context = one_slave.get_context(task_timeout_s=0.5, max_attempts=1)
    for number in range(200):
        context.add_task(time.sleep, 30 if number == 120 else 0.0)
    results = list(context.get_results(on_error="return"))
    lost = results.pop(120)
    assert isinstance(lost, TaskLostError)
    assert "time limit" in str(lost)
    assert results == [None] * 199


@pytest.mark.parametrize("descriptor", ["all", "pipes"])
def test_a_task_that_closes_descriptors_ends_its_runner_and_nothing_else(
    one_slave: Manager, descriptor: str
) -> None:
    def close() -> None:
        for number in range(3, 1100):
            is_pipe = os.path.realpath(f"/proc/self/fd/{number}").rpartition("/")[2][:5] == "pipe:"
            if descriptor == "all" or is_pipe:
                try:
                    os.close(number)
                except OSError:
                    pass

    context = one_slave.get_context(max_attempts=1)
    for number in range(50):
        context.add_task(abs, number)
    context.add_task(close)
    for number in range(50, 100):
        context.add_task(abs, number)
    results = list(context.get_results(on_error="return"))
    assert isinstance(results.pop(50), TaskLostError)
    assert results == list(range(100))


def test_tasks_that_are_added_while_another_thread_reads_are_all_done(
    two_slaves: Manager,
) -> None:
    """Tasks are posted quietly while no slave is idle: none may be left lying."""
    context = two_slaves.get_context()
    found: list[int] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set() or len(found) < 400:
            found.extend(context.get_results_unordered())
            time.sleep(0.001)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(400):
        context.add_task(abs, number)
        if number % 40 == 0:
            time.sleep(0.02)
    is_over.set()
    reader.join(30)
    assert sorted(found) == list(range(400))


def test_a_task_that_nobody_waits_for_begins_when_a_slave_is_free(
    one_slave: Manager, tmp_path: Path
) -> None:
    context = one_slave.get_context()
    context.add_task(time.sleep, 0.3)
    for number in range(3):
        context.add_task(Marked(str(tmp_path / "log"), number))
    wait_until(lambda: (tmp_path / "log").exists() and len(begun(tmp_path / "log")) == 3)
