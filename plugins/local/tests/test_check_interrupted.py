"""imp-parallel check that a signal interrupts: its job is ended first, and what is left is said."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.harness import Processes
from tests.support.strangers import install_stranger
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)

PLUGIN = r'''
import os
import time

from imp_parallel_core import LaunchPhase, LaunchState, Slave, hookimpl


class Odd(Slave):
    def __init__(self, deletion_s=0.0, answers=True):
        self.deletion_s = deletion_s
        self.answers = answers

    def check(self):
        if not self.answers:
            open("is_checked", "w").close()
            time.sleep(3600)


class Job:
    """A job of a batch system that is a file, which exists as long as the job."""

    command = ("submit",)
    job = "4711"

    def __init__(self, deletion_s):
        self._deletion_s = deletion_s
        open("job", "w").close()

    def poll(self):
        return {0: LaunchState(LaunchPhase.QUEUED, "the cluster is full")}

    def log_tail(self, index):
        return ""

    def cancel(self, grace_s):
        open("is_ending", "w").close()
        time.sleep(self._deletion_s)
        os.unlink("job")


@hookimpl
def imp_parallel_launch(slaves, bootstraps, accept):
    return Job(slaves.deletion_s) if isinstance(slaves, Odd) else None


@hookimpl
def imp_parallel_slave_types():
    return {"Odd": Odd}
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> Path:
    """Have the stranger's distribution installed; work in a folder of one's own."""
    install_stranger(tmp_path / "place", PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "place"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def command(expression: str, *arguments: str) -> list[str]:
    """Return the command line of a check."""
    return [sys.executable, "-m", "imp_parallel_core", "check", expression, *arguments]


def started(expression: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a check."""
    line = command(expression, *arguments)
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_submission(folder: Path) -> None:
    """Wait until the job is there."""
    wait_until(lambda: (folder / "job").exists(), what="the job")


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [
        (signal.SIGINT, "Ctrl-C", 130),
        (signal.SIGTERM, "SIGTERM", 143),
        (signal.SIGHUP, "SIGHUP", 129),
    ],
)
def test_a_signal_has_the_job_deleted_and_the_check_says_so(
    folder: Path, number: signal.Signals, name: str, code: int
) -> None:
    checking = started("Odd()")
    await_submission(folder)
    checking.send_signal(number)
    out, err = checking.communicate(timeout=60)
    assert (checking.returncode, err) == (code, "")
    assert f"interrupted  by {name}; the slaves are ended now" in out
    assert "ok       gone         all has ended within " in out
    last = out.splitlines()[-1]
    assert last == f"The check was interrupted by {name}, before it was known what works."
    assert not (folder / "job").exists()


def test_an_interrupted_check_prints_whole_json(folder: Path) -> None:
    checking = started("Odd()", "--json")
    await_submission(folder)
    checking.send_signal(signal.SIGTERM)
    out, err = checking.communicate(timeout=60)
    assert (checking.returncode, err) == (143, "")
    found = json.loads(out)
    assert (found["works"], found["failed"]) == (False, [])
    assert found["interrupted"] == "SIGTERM"
    assert [step["name"] for step in found["steps"]][-2:] == ["interrupted", "gone"]


def test_a_deletion_that_takes_long_is_waited_for_whatever_signals_come_again(
    folder: Path,
) -> None:
    checking = started("Odd(7.0)")  # a Manager waits 5 s for it
    await_submission(folder)
    checking.send_signal(signal.SIGHUP)
    wait_until(lambda: (folder / "is_ending").exists(), what="the deletion")
    checking.send_signal(signal.SIGHUP)
    checking.send_signal(signal.SIGTERM)
    out, err = checking.communicate(timeout=60)
    assert (checking.returncode, err) == (129, "")
    assert "its launch takes long to end" in out
    assert "ok       gone " in out
    assert not (folder / "job").exists()


def test_timeout_which_sends_two_signals_leaves_no_job(folder: Path) -> None:
    done = subprocess.run(
        ["timeout", "--preserve-status", "3", *command("Odd()", "--limit", "60")],
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    assert (done.returncode, done.stderr) == (143, "")
    assert "interrupted by SIGTERM" in done.stdout
    assert not (folder / "job").exists()


def test_a_terminal_that_is_closed_leaves_no_job(folder: Path) -> None:
    ours, theirs = pty.openpty()
    checking = subprocess.Popen(
        command("Odd(0.5)"), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    await_submission(folder)
    os.close(ours)
    checking.send_signal(signal.SIGHUP)
    assert checking.wait(60.0) == 129
    assert not (folder / "job").exists()


def test_an_output_that_nobody_reads_any_more_leaves_no_job(folder: Path) -> None:
    with started("Odd(0.5)", "--limit", "3") as checking:
        await_submission(folder)
        assert checking.stdout is not None
        checking.stdout.close()
        assert checking.wait(60.0) == 1
    assert not (folder / "job").exists()


def test_a_second_ctrl_c_does_not_wait_and_names_the_job_that_may_be_left(folder: Path) -> None:
    checking = started("Odd(40.0)")
    await_submission(folder)
    checking.send_signal(signal.SIGINT)
    wait_until(lambda: (folder / "is_ending").exists(), what="the deletion")
    checking.send_signal(signal.SIGINT)
    out, err = checking.communicate(timeout=20)
    assert (checking.returncode, err) == (130, "")
    assert "FAILED   gone         Ctrl-C has interrupted the end, too" in out
    assert "something may be left: job 4711" in out
    assert out.splitlines()[-1].endswith("before it was known what works. gone FAILED, see above.")


def test_a_signal_is_heard_while_a_plugin_hangs_in_the_checks_own_thread(folder: Path) -> None:
    checking = started("Odd(answers=False)")
    wait_until(lambda: (folder / "is_checked").exists(), what="its check()")
    checking.send_signal(signal.SIGTERM)
    out, err = checking.communicate(timeout=60)
    assert (checking.returncode, err) == (143, "")
    assert "interrupted by SIGTERM" in out
    assert "ok       gone " in out


def test_signals_that_are_ignored_remain_so(folder: Path) -> None:
    ignore = "trap '' HUP INT; exec \"$@\""
    line = ["sh", "-c", ignore, "sh", *command("Odd()", "--limit", "3")]
    checking = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    await_submission(folder)
    checking.send_signal(signal.SIGHUP)
    checking.send_signal(signal.SIGINT)
    out, _ = checking.communicate(timeout=60)
    assert checking.returncode == 1
    assert "nothing has started within the 3 s of --limit" in out
