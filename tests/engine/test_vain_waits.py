"""Who waits for results while no slave has ever worked is told so, and why."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from imp_parallel_core._engine.vain_waits import WaitingNotice, notice
from tests.fleet.test_slave_table import INFO

QUEUED = replace(INFO, state="queued", detail="job 5: no slots", host="")
STARTING = replace(QUEUED, name="slave 7", state="launching", detail="")


def warned_at(seconds: list[float], caplog: pytest.LogCaptureFixture) -> list[float]:
    """Return when one who looks at these times is warned."""
    told, waiting = [], WaitingNotice(lambda: False, lambda: [QUEUED])
    for now in seconds:
        before = len(caplog.records)
        waiting.look(now)
        if len(caplog.records) > before:
            told.append(now)
    return told


def test_the_first_warning_comes_after_10_s_and_the_others_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert warned_at([float(now) for now in range(1000, 1300)], caplog) == [1010, 1030, 1090, 1270]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_time_in_which_nobody_waited_does_not_count(caplog: pytest.LogCaptureFixture) -> None:
    looks = [*range(9), *range(100, 109), *range(200, 211)]
    assert warned_at([float(now) for now in looks], caplog) == [210]


def test_it_says_how_many_are_in_which_state_and_why() -> None:
    other = replace(QUEUED, name="slave 9", detail="job 6: is held")
    second = replace(QUEUED, name="slave 1")
    lines = notice([QUEUED, second, other, STARTING], 12.3).splitlines()
    assert "waited for for 12 s: 1 starting, 3 queued." in lines[0]
    assert lines[1:] == [
        "    slave 0: queued: job 5: no slots (1 more likewise)",
        "    slave 9: queued: job 6: is held",
    ]


def test_of_many_reasons_some_are_said() -> None:
    text = notice([replace(QUEUED, detail=f"job {job}") for job in range(9)], 10.0)
    assert text.endswith("6 more reasons: print(manager.slaves)")
    assert len(text.splitlines()) == 5
