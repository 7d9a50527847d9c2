"""Arrays that wait for the same reason are told of in one line."""

from __future__ import annotations

import logging

import pytest
from harness_batch import SYSTEM
from imp_parallel_batch._cluster import Cluster
from imp_parallel_batch._queue_reminder import QueueReminder, waiting

from imp_parallel_core import LocalHost


def reminders(count: int) -> list[QueueReminder]:
    """Return the reminders of jobs of a slave each."""
    shared, cluster = waiting(), Cluster(SYSTEM, LocalHost())
    return [QueueReminder(shared, cluster, str(job), 1, 1000.0) for job in range(count)]


def test_fifty_slaves_of_fifty_jobs_are_told_of_in_one_line_and_one_of_them_is_asked_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[str] = []

    def why() -> str:
        asked.append("why")
        return "no free place"

    jobs = reminders(50)
    with caplog.at_level(logging.WARNING, "imp_parallel.queue"):
        for second in range(20):
            for job in jobs:
                job.remind(1000.0 + second, (), why)
    line = "all 50 slaves of 50 jobs (0, 1, 2 and 47 more) are still queued after {} s: {}"
    first, later = [line.format(s, "no free place") for s in (5, 15)]
    assert caplog.messages == [f"{first}\nMore: imp-parallel explain still-queued", later]
    assert len(asked) == 2
    assert {job.reason for job in jobs} == {"no free place"}


def test_what_waits_for_another_reason_has_a_line_of_its_own_and_what_runs_has_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other, third, running = reminders(4)
    running.remind(1000.0, "room", lambda: "no room")
    running.begin(1001.0)
    with caplog.at_level(logging.WARNING, "imp_parallel.queue"):
        for second in range(10):
            one.remind(1000.0 + second, "room", lambda: "no room")
            other.remind(1000.0 + second, "room", lambda: "no room")
            third.remind(1000.0 + second, "licence", lambda: "")
    assert caplog.messages == [
        "all 2 slaves of 2 jobs (0, 1) are still queued after 5 s: no room\n"
        "More: imp-parallel explain still-queued",
        "the slave of job 2 is still queued after 5 s: the scheduler gives no reason (list may)",
    ]
