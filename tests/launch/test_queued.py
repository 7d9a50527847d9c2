"""Slaves that wait to be started are spoken of, ever more seldom, whoever launches them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import pytest

from imp_parallel_core import LaunchPhase, LaunchState
from imp_parallel_core._launch.queued import QueuedSlaves, waiting

QUEUED = LaunchState(LaunchPhase.QUEUED, "waiting for godot")
RUNNING = LaunchState(LaunchPhase.RUNNING)
MORE = "\nMore: imp-parallel explain still-queued"  # of the first such message


def times(
    queued: QueuedSlaves,
    caplog: pytest.LogCaptureFixture,
    states: Mapping[int, LaunchState],
    awaited: Collection[int],
    until_s: int,
    *,
    is_told: bool = False,
) -> list[int]:
    """Let time pass; return when something was said."""
    found = []
    with caplog.at_level(logging.WARNING, "imp_parallel"):
        for second in range(until_s):
            before = len(caplog.messages)
            queued.tell(1000.0 + second, states, awaited, is_told=is_told)
            if len(caplog.messages) > before:
                found.append(second)
    return found


def test_a_slave_that_is_queued_is_told_with_its_reason_and_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert times(QueuedSlaves("Godot()", waiting()), caplog, {3: QUEUED}, {3}, 300) == [
        10,
        30,
        90,
        270,
    ]
    assert caplog.messages[1] == "slave 3 of Godot() is still queued after 30 s: waiting for godot"


def test_one_warning_tells_of_all_slaves_of_a_launch(caplog: pytest.LogCaptureFixture) -> None:
    states = dict.fromkeys(range(5), QUEUED)
    assert times(QueuedSlaves("Godots(5)", waiting()), caplog, states, {1, 2, 4}, 20) == [10]
    assert caplog.messages == [
        f"3 slaves of Godots(5) are still queued after 10 s: slave 1: waiting for godot{MORE}"
    ]


def test_a_suspended_slave_is_told_too_and_a_launcher_without_a_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times(
        QueuedSlaves("Godot()", waiting()), caplog, {0: LaunchState(LaunchPhase.SUSPENDED)}, {0}, 20
    )
    said = "slave 0 of Godot() is still suspended after 10 s: the launcher gives no reason"
    assert caplog.messages == [said + MORE]


def test_a_slave_of_which_its_launch_says_nothing_is_told_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queued = QueuedSlaves("Godot()", waiting())
    with caplog.at_level(logging.WARNING, "imp_parallel"):
        for second in (1000.0, 1012.0):
            queued.tell(second, {}, {0}, is_told=False, trouble="poll failed: OSError: no route")
    said = "slave 0 of Godot() is still launching after 12 s: poll failed: OSError: no route"
    assert caplog.messages == [said + MORE]


def test_nothing_is_told_while_a_slave_works_or_runs_or_the_launch_tells_by_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queued = QueuedSlaves("Godots(2)", waiting())
    assert times(queued, caplog, {0: QUEUED}, (), 100) == []
    assert times(queued, caplog, {0: QUEUED, 1: RUNNING}, {0, 1}, 100) == []
    assert times(queued, caplog, {0: QUEUED}, {0}, 100, is_told=True) == []


def test_one_warning_tells_of_the_slaves_of_all_launches_that_wait_for_the_same_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shared = waiting()
    launches = [QueuedSlaves(f"Godot({number})", shared) for number in range(50)]
    others = QueuedSlaves("Pozzo(7)", shared)
    other = LaunchState(LaunchPhase.QUEUED, "waiting for lucky")
    for second in range(1000, 1040):
        for number, launch in enumerate(launches):
            launch.tell(float(second), {number: QUEUED}, {number}, is_told=False)
        others.tell(float(second), {70: other, 71: other}, {70, 71}, is_told=False)
        if second == 1020:
            launches.pop().forget()
    godot = "slave 0 of Godot(0): waiting for godot"
    pozzo = "slave 70: waiting for lucky"
    assert caplog.messages == [
        f"50 slaves of 50 launches are still queued after 10 s: {godot}{MORE}",
        f"2 slaves of Pozzo(7) are still queued after 10 s: {pozzo}",
        f"49 slaves of 49 launches are still queued after 30 s: {godot}",
        f"2 slaves of Pozzo(7) are still queued after 30 s: {pozzo}",
    ]
