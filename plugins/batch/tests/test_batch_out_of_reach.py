"""A batch system that nobody reaches for a while: slaves wait, and nothing is submitted twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from lonely_host import TAKEN, Silence, are, folders, launch_on, tried_again
from made_up_host import MadeUpHost

from imp_parallel_core import CommandResult, LaunchPhase, LaunchState
from tests.support.waiting import wait_until


def fail(self: Any, done: CommandResult) -> bool:
    """Have a mistake."""
    raise KeyError("colour")


def test_slaves_wait_with_the_reason_until_the_batch_system_is_reached(
    lonely: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    launch = launch_on(lonely)
    reason = "put refused the array: exit code 1"
    assert launch.poll() == dict.fromkeys((3, 4), LaunchState(LaunchPhase.QUEUED, reason))
    assert launch.job == launch.log_tail(3) == ""
    assert launch.reminds_of_queue, "so that the core does not tell it again"
    (told,) = caplog.messages
    assert "| put: nobody is in the stable" in told
    assert "All 2 slaves wait" in told
    wait_until(tried_again(lonely))
    assert len(caplog.messages) == 1
    launch.note_connections([], [])
    lonely.submitted, lonely.lines = TAKEN, []
    wait_until(lambda: launch.job == "7")
    lonely.lines = ["7 NAME 1 runs", "7 NAME 2 runs"]
    wait_until(are(launch, LaunchPhase.RUNNING))
    assert caplog.messages[1].startswith("job 7 was submitted after ")
    lonely.lines = []
    launch.cancel(0.0)
    assert folders(lonely) == []


def test_nothing_is_submitted_again_while_nobody_can_say_whether_the_job_is_there(
    lonely: MadeUpHost,
) -> None:
    silence = Silence(lonely)
    launch = launch_on(lonely, tasks_in=lambda *words: silence.tasks_in(*words))
    wait_until(lambda: silence.asked > 3)
    assert len(lonely.asked("put")) == 1
    lonely.submitted = TAKEN
    silence.lasts = False
    wait_until(lambda: launch.job == "7")
    assert len(lonely.asked("put")) == 2
    launch.cancel(0.0)


def test_a_job_that_is_there_after_all_is_not_submitted_again(lonely: MadeUpHost) -> None:
    silence = Silence(lonely)
    launch = launch_on(lonely, tasks_in=lambda *words: silence.tasks_in(*words))
    lonely.submitted, lonely.lines = TAKEN, ["9 NAME 1 waits", "9 NAME 2 waits"]
    silence.lasts = False
    wait_until(lambda: launch.job)
    assert launch.job == "9"
    assert len(lonely.asked("put")) == 1
    lonely.lines = []
    launch.cancel(0.0)


def test_people_are_told_again_ever_more_seldom(
    lonely: MadeUpHost, caplog: pytest.LogCaptureFixture
) -> None:
    launch = launch_on(lonely)
    other = launch_on(lonely)
    assert len(caplog.messages) == 1, "the second array is told of with the first"
    launch._begun_at -= 11.0
    wait_until(lambda: len(caplog.messages) == 2)
    assert "4 slaves of 2 arrays that can't be submitted still wait after" in caplog.messages[1]
    wait_until(tried_again(lonely, 6))
    assert len(caplog.messages) == 2
    launch.cancel(0.0)
    other.cancel(0.0)


def test_slaves_whose_array_nobody_takes_in_time_have_ended_with_the_batch_systems_words(
    lonely: MadeUpHost,
) -> None:
    launch = launch_on(lonely, limit_s=0.1)
    wait_until(are(launch, LaunchPhase.ENDED))
    detail = launch.poll()[3].detail
    assert "| put: nobody is in the stable" in detail
    assert "It was tried for " in detail
    assert folders(lonely) == []
    launch.cancel(0.0)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "put: there is no option"),
        ({"is_temporary": fail}, "failed: KeyError: 'colour'"),
    ],
    ids=["by the batch system", "by a mistake of the plugin"],
)
def test_an_array_that_is_refused_later_has_ended_with_the_reason(
    lonely: MadeUpHost, members: Mapping[str, Any], words: str
) -> None:
    launch = launch_on(lonely)
    for name, value in members.items():
        setattr(type(launch._submission._cluster.system), name, value)
    lonely.submitted = CommandResult(1, "", "put: there is no option\n")
    wait_until(are(launch, LaunchPhase.ENDED))
    assert words in launch.poll()[3].detail
    assert folders(lonely) == []
    launch.cancel(0.0)


def test_a_run_that_ends_before_submits_nothing_more(lonely: MadeUpHost) -> None:
    launch = launch_on(lonely)
    begun_at = time.monotonic()
    launch.cancel(30.0)
    assert time.monotonic() - begun_at < 20.0
    assert folders(lonely) == []
    count = len(lonely.asked("put"))
    wait_until(lambda: not [t for t in threading.enumerate() if "submit again" in t.name])
    assert len(lonely.asked("put")) == count
    launch.cancel(0.0)


def test_slaves_that_are_not_needed_any_more_are_withdrawn_when_they_are_there(
    lonely: MadeUpHost,
) -> None:
    launch = launch_on(lonely)
    launch.withdraw([3])
    lonely.submitted = TAKEN
    wait_until(lambda: launch.job == "7")
    launch.poll()
    assert lonely.asked("drop") == [["drop", "7", "1-1"]]
    launch.withdraw([4])
    assert len(lonely.asked("drop")) == 2
    launch.cancel(0.0)


def test_nothing_is_submitted_for_slaves_none_of_which_is_needed(lonely: MadeUpHost) -> None:
    launch = launch_on(lonely)
    launch.withdraw([3])
    launch.withdraw([4])
    assert folders(lonely) == []
    assert are(launch, LaunchPhase.ENDED)()
