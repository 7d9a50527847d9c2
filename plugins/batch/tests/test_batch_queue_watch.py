"""One polite question for all arrays; and whether their slaves can reach the script at all."""

from __future__ import annotations

import itertools
import logging
import threading
import time

import pytest
from harness_batch import SYSTEM
from imp_parallel_batch import BatchTask
from imp_parallel_batch._cluster import Jobs
from imp_parallel_batch._queue_watch import QueueWatch
from imp_parallel_batch.allocation import warn_if_only_here

from imp_parallel_core import LaunchPhase

LOGGER = logging.getLogger("imp_parallel.queue")
RUNS = BatchTask(LaunchPhase.RUNNING)


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_queue_is_asked_for_ever_more_seldom_while_nothing_changes() -> None:
    clock = Clock()
    asked = []
    queue: dict[str, dict[int, BatchTask]] = {}

    def ask() -> Jobs:
        asked.append(clock.now)
        return {job: dict(tasks) for job, tasks in queue.items()}

    watch = QueueWatch(ask, "list", LOGGER, clock)
    for _ in range(6000):
        clock.now += 0.1
        watch.look()
    pauses = [after - before for before, after in itertools.pairwise(asked)]
    assert min(pauses) >= 1.0
    assert max(pauses) >= 29.9
    assert len(asked) < 40
    queue["1"] = {1: RUNS}
    clock.now += 30.1
    watch.look()
    clock.now += 1.1
    assert watch.look().tasks_of("1") == {1: RUNS}
    assert asked[-1] - asked[-2] < 2.0  # it has changed: often again


def test_a_queue_that_can_not_be_had_is_said_once_and_the_last_one_holds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    answers: list[Jobs | Exception] = [{"1": {1: RUNS}}, *[TimeoutError("it hangs")] * 50]

    def ask() -> Jobs:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = QueueWatch(ask, "list", LOGGER, clock)
    for _ in range(10):
        clock.now += 31.0
        assert watch.look().tasks_of("1") == {1: RUNS}
    assert watch.problem == "it hangs"
    assert len(caplog.records) == 1
    assert "it hangs" in caplog.text


def test_nobody_waits_for_a_question_that_hangs_and_its_late_answer_counts() -> None:
    may_answer = threading.Event()

    def ask() -> Jobs:
        asked.append(time.monotonic())
        may_answer.wait(30.0)
        return {"1": {1: RUNS}}

    asked: list[float] = []
    watch = QueueWatch(ask, "list", LOGGER)
    begun_at = time.monotonic()
    for _ in range(50):
        assert watch.look(0.0).jobs == {}
    assert time.monotonic() - begun_at < 4.0
    assert "has not answered for" in watch.problem
    assert len(asked) == 1, "one hangs already"
    may_answer.set()
    deadline = time.monotonic() + 10.0
    while not watch.look().jobs and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watch.look().tasks_of("1") == {1: RUNS}
    assert watch.problem == ""


@pytest.mark.parametrize(
    ("addresses", "is_said"),
    [
        (["127.0.1.1:40000"], True),
        (["127.0.0.1:40000", "[::1]:40000"], True),
        (["127.0.0.1:40000", "192.168.0.5:40000"], False),
        (["[2001:db8::7]:40000"], False),
        ([], False),
    ],
)
def test_addresses_that_no_other_host_can_reach_are_said_at_once(
    addresses: list[str], is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    warn_if_only_here(SYSTEM, addresses)
    assert ("127.0.1.1 for it? Leave host= out" in caplog.text) == is_said
    assert all(address in caplog.text for address in addresses) or not is_said
