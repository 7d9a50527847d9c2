"""Whatever becomes of jobs or the master: no task is lost, and nothing is left behind."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from imp_parallel_core import Manager
from tests.support.as_root import signal_as_root
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.slaves import manager_of, squared, squares, wait_for
from tests.support.printing import check_that_errors_hold_what_their_attempts_printed
from tests.support.runners import check_that_a_task_is_ended_that_never_returns
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until

__all__ = [
    "test_a_close_deletes_what_waits_and_what_runs",
    "test_a_script_that_ends_without_a_close_deletes_its_jobs_too",
    "test_a_slave_that_is_ended_with_notice_hands_back_and_finishes_what_it_is_at",
    "test_a_task_in_c_code_that_never_returns_is_ended_in_a_queue_too",
    "test_all_processes_of_a_slave_are_killed",
    "test_errors_hold_what_their_attempts_printed",
    "test_the_master_is_killed_and_later_slaves_find_nobody",
]


def test_all_processes_of_a_slave_are_killed(batch: BatchCluster) -> None:
    with manager_of(batch, 3) as manager:
        context = manager.get_context()
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: batch.pids_of_task(2), what="the second slave")
        signal_as_root(signal.SIGKILL, *batch.pids_of_task(2))
        found += results
        assert sorted(found) == squared(60)
        lost = ["gone", "idle", "idle"]
        wait_until(lambda: sorted(slave.state for slave in manager.slaves) == lost, 60.0)


def test_errors_hold_what_their_attempts_printed(batch: BatchCluster) -> None:
    with manager_of(batch, 1) as manager:
        check_that_errors_hold_what_their_attempts_printed(manager)


def test_a_slave_that_is_ended_with_notice_hands_back_and_finishes_what_it_is_at(
    batch: BatchCluster, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def task(number: int) -> int:
        with log.open("a") as file:
            file.write(f"{number}\n")
        time.sleep(0.1)
        return number

    # the wrapper dies of a signal that is not ignored
    python = f"bash -c '\"$@\"; exit $?' wrapper {shlex.quote(sys.executable)}"
    with manager_of(batch, 2, batch.notice, python=python) as manager:
        wait_for(manager, "idle", "idle")  # a late one would find all tasks done
        context = manager.get_context(max_attempts=1)
        for number in range(60):
            context.add_task(task, number)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: all(slave.tasks_done for slave in manager.slaves))
        batch.end_task(batch.newest_job(), 1)
        found += results
        assert sorted(found) == list(range(60))
        wait_until(lambda: manager.slaves[0].state == "gone", 60.0, str(manager.slaves))
    assert sorted(map(int, log.read_text().split())) == list(range(60)), "one was run twice"
    assert f"received {batch.signal}" in (tmp_path / "slave0.output").read_text()


def test_a_task_in_c_code_that_never_returns_is_ended_in_a_queue_too(
    batch: BatchCluster, tmp_path: Path
) -> None:
    with Manager() as manager:
        check_that_a_task_is_ended_that_never_returns(manager, batch.array(1, ""), tmp_path)


def test_a_close_deletes_what_waits_and_what_runs(batch: BatchCluster) -> None:
    with manager_of(batch, batch.slots + 6) as manager:
        context = manager.get_context()
        squares(context, 100, 600.0)
        wait_for(manager, *["working"] * batch.slots, *["queued"] * 6)
        assert len(batch.jobs()) == batch.slots + 6
    assert list(batch.kept_jobs()) == []


def script_of(batch: BatchCluster, arrays: str, states: list[str], ending: str) -> str:
    """Return a script that adds arrays, gives two tasks to them, and says when it has come so far.

    Args:
        batch: the batch system.
        arrays: the arguments of the arrays, a line for each.
        states: of the slaves, then.
        ending: what the script does afterwards.
    """
    name = batch.array.__name__
    added = "\n".join(f"manager.add_slave({name}({line}))" for line in arrays.splitlines())
    return f"""
import time
from imp_parallel_core import Manager, {name}
manager = Manager()
{added}
context = manager.get_context()
for _ in range({states.count("working")}):
    context.add_task(time.sleep, 600)
for _ in range(1200):
    if [slave.state for slave in manager.slaves] == {states!r}:
        break
    time.sleep(0.05)
else:
    raise SystemExit("not within 60 s")
print("working", flush=True)
{ending}
"""


def test_the_master_is_killed_and_later_slaves_find_nobody(
    batch: BatchCluster, scripts: Scripts, tmp_path: Path
) -> None:
    arrays = f"2\n1, {batch.held!r}"
    expected = ["working", "working", "queued"]
    script = scripts.start(script_of(batch, arrays, expected, "time.sleep(600)"))
    assert script.stdout is not None
    assert script.stdout.readline() == "working\n"
    script.kill()
    wait_until(lambda: not batch.processes(), 30.0, "the end of the running slaves")
    held = batch.held_job()
    batch.release(held)
    wait_until(lambda: not batch.jobs(), 30.0, "the end of the late slave")
    said = (tmp_path / "slave2.output").read_text()
    assert said.count("\n") == 1
    assert "imp_parallel: " in said
    (number,) = (
        path for path in tmp_path.glob(".imp_parallel-*/number") if path.read_text().strip() == held
    )
    assert (number.parent / "1.exit").read_text() == "0\n"


@pytest.mark.parametrize(
    ("ending", "is_interrupted"), [("", False), ("time.sleep(600)", True)], ids=["falls", "ctrl_c"]
)
def test_a_script_that_ends_without_a_close_deletes_its_jobs_too(
    batch: BatchCluster, scripts: Scripts, tmp_path: Path, ending: str, is_interrupted: bool
) -> None:
    arrays = f"1\n2, {batch.held!r}"
    expected = ["working", "queued", "queued"]
    script = scripts.start(script_of(batch, arrays, expected, ending))
    assert script.stdout is not None
    assert script.stdout.readline() == "working\n"
    if is_interrupted:
        script.send_signal(signal.SIGINT)
    script.wait(30.0)
    wait_until(lambda: not batch.jobs(), 20.0, "an empty queue")
    assert list(tmp_path.glob(".imp_parallel-*")) == []
