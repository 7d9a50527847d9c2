"""A supervisor and its runners: which deaths it takes, and whose messages are whose."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from imp_parallel_core._wire import heads, protocol

from ..support.false_master import GivingMaster
from ..support.waiting import wait_until


class Master(GivingMaster):
    """A master that kills its slave's runners."""

    def kill_runner(self) -> heads.RunnerLostHead:
        """Kill the runner; return what the supervisor says of it."""
        os.kill(self.runner, signal.SIGKILL)
        return heads.unpack_runner_lost(self.next(protocol.RUNNER_LOST).head)

    def go_on(self) -> None:
        """Send what is meant for the next runner from now on, and wait for that."""
        self.send(protocol.NEXT_RUNNER)
        self.runner = self.next_runner()


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path)
    try:
        made.begin()
        yield made
    finally:
        made.close()


def test_a_slave_whose_runners_die_again_and_again_without_a_task_leaves(master: Master) -> None:
    for _ in range(10):
        assert master.kill_runner().item == 0
        master.go_on()
    os.kill(master.runner, signal.SIGKILL)
    assert "11 runners in a row died" in master.last_words()


def test_a_task_that_is_done_makes_the_count_of_dead_runners_begin_anew(master: Master) -> None:
    for item in (1, 2):
        for _ in range(6):
            master.kill_runner()
            master.go_on()
        master.give(item)
        assert master.next_value() == (item, item)


def test_a_value_that_comes_together_with_the_end_of_its_runner_is_not_lost(
    master: Master,
) -> None:
    for item in range(1, 6):
        master.give(item, (os.kill, (master.supervisor, signal.SIGSTOP)))
        wait_until(lambda: state_of(master.supervisor) == "T")
        wait_until(lambda: state_of(master.runner) == "S")  # it has written its value, and waits
        os.kill(master.runner, signal.SIGKILL)
        wait_until(lambda: state_of(master.runner) == "Z")
        os.kill(master.supervisor, signal.SIGCONT)
        assert master.next_value() == (item, None)
        assert heads.unpack_runner_lost(master.next(protocol.RUNNER_LOST).head).item == 0
        master.go_on()


def state_of(pid: int) -> str:
    """Return the state of a process, as Linux names it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


FAILS_ONCE = """
import os, sys
if "_slave.runner import" in " ".join(sys.orig_argv) and os.path.exists({fails!r}):
    os.unlink({fails!r})
    os._exit(3)
"""


def test_a_runner_that_starts_makes_the_count_of_failed_starts_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = tmp_path / "fails"
    (tmp_path / "sitecustomize.py").write_text(FAILS_ONCE.format(fails=str(fails)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    master = Master(tmp_path)
    try:
        master.begin()
        for _ in range(3):
            fails.touch()
            master.kill_runner()
            master.go_on()
            assert not fails.exists()
        said = master.output.read_text()
        assert said.count("exited with code 3 before it was ready") == 3
    finally:
        master.close()


def test_what_was_sent_for_a_dead_runner_is_not_done_by_the_next(master: Master) -> None:
    assert master.kill_runner().item == 0
    master.give(7)
    master.go_on()
    master.give(8)
    assert master.next_value() == (8, 8)
