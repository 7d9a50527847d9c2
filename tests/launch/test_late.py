"""A slave that runs and does not connect is spoken of, sparsely."""

from __future__ import annotations

import sys

import pytest

from imp_parallel_core import Bootstrap
from imp_parallel_core._launch.late import Delays

TROUBLE = "imp_parallel: the master has not been reached for 3 s:\n    192.0.2.1:7: no answer"


class Launch:
    """What the slaves of a launch have said."""

    def __init__(self, *outputs: str) -> None:
        self.outputs = outputs
        self.looks = 0
        self.delays = Delays(
            [
                Bootstrap(index, sys.executable, "/", f"/slave{index}.output", [])
                for index in range(len(outputs))
            ]
        )

    def log_tail(self, index: int) -> str:
        self.looks += 1
        return self.outputs[index]


def times(launch: Launch, caplog: pytest.LogCaptureFixture, until_s: int) -> list[float]:
    """Let time pass; return when something was said."""
    found = []
    for tenth in range(until_s * 10):
        before = len(caplog.messages)
        launch.delays.tell(1000.0 + tenth / 10, launch.log_tail)
        if len(caplog.messages) > before:
            found.append(tenth / 10)
    return found


def test_a_slave_that_reports_an_obstacle_is_quoted_within_four_seconds_and_then_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    launch = Launch(TROUBLE)
    launch.delays.note(0, 1000.0, is_running=True)
    assert times(launch, caplog, 120) == [3.5, 10.5, 31.5, 94.5]
    assert "slave 0 has been running for 4 s, and has not connected" in caplog.messages[0]
    assert "/slave0.output" in caplog.messages[0]
    assert "    | imp_parallel: the master has not been reached" in caplog.messages[0]
    assert "    |     192.0.2.1:7: no answer" in caplog.messages[0]


def test_a_slave_that_says_nothing_of_its_own_has_more_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    launch = Launch("a profile's words")
    launch.delays.note(0, 1000.0, is_running=True)
    assert times(launch, caplog, 20) == [10.0]
    assert "a profile's words" in caplog.messages[0]


def test_one_warning_reports_many_slaves_and_quotes_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    launch = Launch(*[TROUBLE] * 100)
    for index in range(100):
        launch.delays.note(index, 1000.0, is_running=True)
    assert times(launch, caplog, 10) == [3.5]
    assert "99 more" in caplog.messages[0]
    assert launch.looks == 1


@pytest.mark.parametrize("seconds", [1, 5])
def test_no_warning_mentions_a_slave_that_has_connected_or_ended(
    caplog: pytest.LogCaptureFixture, seconds: int
) -> None:
    launch = Launch(TROUBLE)
    launch.delays.note(0, 1000.0, is_running=True)
    times(launch, caplog, seconds)
    caplog.clear()
    launch.delays.note(0, 1000.0 + seconds, is_running=False)
    assert times(launch, caplog, 60) == []
    assert launch.delays.longest_pause_s == float("inf")
