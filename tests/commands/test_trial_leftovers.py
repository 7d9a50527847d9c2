"""The last step of a check finds what is left of its slaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imp_parallel_core._commands.steps import Status, Step
from imp_parallel_core._commands.trial_leftovers import Leftovers
from tests.fleet.test_slave_table import INFO


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that goes on until its standard input ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def after(leftovers: Leftovers, *, removes_output: bool = True) -> tuple[Status, str]:
    """Return what the last step says."""
    step = leftovers.step(removes_output=removes_output)
    return step.status, step.text


def test_a_process_of_this_machine_that_is_left_is_named(process: subprocess.Popen[bytes]) -> None:
    leftovers = Leftovers()
    leftovers.note([replace(INFO, host=socket.gethostname(), pid=process.pid, runner_pid=None)])
    leftovers.begin_end()
    status, text = after(leftovers)
    assert status is Status.FAILED
    assert str(process.pid) in text
    process.kill()  # it is a zombie then, and so it has ended
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert after(leftovers)[0] is Status.OK


def test_processes_of_another_host_are_not_looked_for_here(
    process: subprocess.Popen[bytes],
) -> None:
    leftovers = Leftovers()
    leftovers.note([replace(INFO, host="elsewhere", pid=process.pid, runner_pid=None)])
    leftovers.begin_end()
    status, text = after(leftovers)
    assert status is Status.OK
    assert "process" not in text


def test_a_complaint_while_the_slaves_end_is_a_failure() -> None:
    leftovers = Leftovers()
    leftovers.begin_end()
    leftovers.hear("job 5 may be left: Delete it with: qdel 5")
    assert after(leftovers) == (Status.FAILED, "job 5 may be left: Delete it with: qdel 5")


@pytest.mark.parametrize(
    "message",
    [
        "slave 0 of MySlave() is still queued after 12 s: submitted",
        "all 3 slaves of 2 jobs (5, 6) are still queued after 12 s: PartitionDown",
        "slave 0 has been running for 5 s, and has not connected",
        "still ending after 5 s: imp_parallel launch of MySlave()",
    ],
)
def test_a_late_word_that_slaves_are_waited_for_is_no_failure(message: str) -> None:
    leftovers = Leftovers()
    leftovers.begin_end()
    leftovers.hear(message)
    assert after(leftovers)[0] is Status.OK


def test_a_job_that_is_deleted_after_all_is_not_left() -> None:
    leftovers = Leftovers()
    leftovers.begin_end()
    leftovers.hear("job 5 may still be there (qdel has not come to its end for 3 s). Delete it")
    leftovers.hear("job 55 may still be there (Eqw). Delete it")
    leftovers.hear("job 5 is deleted after all")
    assert after(leftovers) == (Status.FAILED, "job 55 may still be there (Eqw). Delete it")


def test_a_launch_is_waited_for_which_says_what_is_left_when_its_command_has_been_killed() -> None:
    leftovers = Leftovers()
    leftovers.begin_end()
    launch = threading.Timer(0.3, leftovers.hear, ["job 5 may be left"])
    launch.start()
    told: list[Step] = []
    leftovers.wait_for(launch, told.append, 20.0)
    assert "takes long to end" in told[0].text
    assert after(leftovers) == (Status.FAILED, "job 5 may be left")


@pytest.mark.parametrize("limit_s", [0.0, 0.1])
def test_a_launch_that_does_not_end_is_named(limit_s: float) -> None:
    leftovers = Leftovers()
    leftovers.begin_end()
    ends = threading.Event()
    launch = threading.Thread(target=ends.wait, name="imp_parallel launch of MySlave()")
    launch.start()
    told: list[Step] = []
    leftovers.wait_for(launch, told.append, limit_s)
    assert ["takes long to end" in step.text for step in told] == [True] * (limit_s > 0.0)
    ends.set()
    launch.join()
    status, text = after(leftovers)
    assert status is Status.FAILED
    assert "imp_parallel launch of MySlave() has not come to its end" in text


def test_what_slaves_have_printed_is_kept_and_named_only_if_something_has_failed(
    tmp_path: Path,
) -> None:
    output = tmp_path / "check0.output"
    output.write_text("hello")
    leftovers = Leftovers()
    leftovers.note([replace(INFO, output_path=str(output))])
    leftovers.begin_end()
    assert str(output) in after(leftovers, removes_output=False)[1]
    assert output.exists()
    after(leftovers)
    assert not output.exists()
