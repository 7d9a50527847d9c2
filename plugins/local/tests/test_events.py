"""Events tell observers all that there is to know of a run."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager, RunBegan, TasksDone, TasksSent
from tests.support.harness import Processes
from tests.support.rebuilt_run import RebuiltRun
from tests.support.runners import compute_for_ever
from tests.support.waiting import wait_until

KILLED = "killed by SIGKILL"


def prepare() -> int:
    """Be a set-up."""
    return 1000


def die_once(base: int, mark: Path) -> int:
    """Kill this process, unless an earlier attempt has done so."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return base


def fail(base: int) -> None:
    raise ValueError(f"not {base}\nand more of that")


def sleep_for(base: int, duration_s: float) -> bytes:
    time.sleep(duration_s)
    return bytes(base)


def meet(base: int, folder: Path, number: int) -> None:
    """Return when both slaves are here."""
    folder.mkdir(exist_ok=True)
    (folder / str(number)).touch()
    wait_until(lambda: len(list(folder.iterdir())) == 2, 60.0)


def fail_to_prepare() -> None:
    raise OSError("no disk")


@pytest.fixture
def run() -> RebuiltRun:
    """Return an observer."""
    return RebuiltRun()


@pytest.fixture
def watched(run: RebuiltRun, processes: Processes) -> Iterator[Manager]:
    """Yield a Manager with two slaves that is observed."""
    with Manager(plugins=[run]) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        yield manager


def test_an_observer_alone_can_rebuild_a_run_with_failures_deaths_and_a_cancelled_task(
    watched: Manager, run: RebuiltRun, tmp_path: Path
) -> None:
    with watched:
        context = watched.get_context(prepare, name="scoring")
        slept = context.add_task(sleep_for, 0.3)
        died = context.add_task(die_once, tmp_path / "mark")
        failed = context.add_task(fail)
        lost = context.add_task(lambda base: os._exit(7))
        for number in range(3000):
            context.add_task(lambda base, number=number: base + number)
        assert len(list(context.get_results(on_error="return"))) == 3004
        cancelled = context.add_task(lambda base: compute_for_ever(tmp_path / "runs"))
        wait_until((tmp_path / "runs").exists, 30.0)
        assert context.cancel(cancelled) == "ended"
        list(context.get_results(on_error="return"))
        wait_until(lambda: any(not one.is_charged for one in run.deaths))
        wait_until(lambda: not any(map(run.is_at_work, run.states)))
    run.check()
    assert run.names == {1: "scoring"}
    assert run.added[1] == len(run.done) == 3005
    assert run.unfinished(1) == 0
    assert not any(run.held.values())
    one = run.done[1, slept]
    assert (one.outcome, one.attempt, one.error) == ("value", 1, "")
    assert one.duration_s >= 0.3
    assert one.result_bytes > 1000
    one = run.done[1, died]
    assert (one.outcome, one.attempt) == ("value", 2)
    one = run.done[1, failed]
    assert (one.outcome, one.error) == ("raised", "ValueError: not 1000")
    one = run.done[1, lost]
    assert (one.outcome, one.attempt) == ("lost", 3)
    assert "exited with code 7" in one.error
    assert run.done[1, cancelled].outcome == "cancelled"
    assert Counter(one.task for one in run.deaths if one.is_charged) == {died: 1, lost: 3}
    (death,) = [one for one in run.deaths if one.task == died]
    assert KILLED in death.cause
    assert (death.context, death.attempt) == (1, 1)
    (ended,) = [one for one in run.deaths if not one.is_charged]
    assert ended.task == cancelled
    assert ended.began_at < run.done[1, cancelled].at
    assert all(one.error == "" for one in run.setups)
    assert {one.slave for one in run.setups} == {"slave 0", "slave 1"}


def test_tasks_of_a_slave_are_told_one_after_the_other(watched: Manager, run: RebuiltRun) -> None:
    """The times of a timeline are those of the slave, but for what the outcome was on its way."""
    with watched:
        context = watched.get_context()
        for number in range(40):
            context.add_task(time.sleep, 0.002 if number % 2 else 0.02)
        list(context.get_results())
    run.check()
    for slave in ("slave 0", "slave 1"):
        done = sorted(one.began_at for one in run.done.values() if one.slave == slave)
        times = [(one.began_at, one.duration_s) for one in run.done.values() if one.slave == slave]
        assert sum(duration_s for _, duration_s in times) <= times[-1][0] - done[0] + 0.1
    assert min(one.duration_s for one in run.done.values()) >= 0.002


def test_what_slaves_are_at_is_told_as_states(
    watched: Manager, run: RebuiltRun, tmp_path: Path
) -> None:
    with watched:
        context = watched.get_context(prepare)
        for number in range(2):
            context.add_task(meet, tmp_path / "meeting", number)
        list(context.get_results())
        wait_until(lambda: not any(map(run.is_at_work, run.states)))
    run.check()
    for changes in run.states.values():
        assert [one.state for one in changes] == [
            *("launching", "connected", "idle", "setting up", "working", "idle")
        ]
        assert [one.context for one in changes] == [0, 0, 0, 1, 1, 0]
        assert changes[0].host == ""
        assert changes[-1].host == os.uname().nodename


def test_a_context_has_the_name_of_its_setup_or_first_task(
    watched: Manager, run: RebuiltRun
) -> None:
    with watched:
        contexts = [watched.get_context(name=name) for name in ("a\nb", None, None, None)]
        contexts += [watched.get_context(prepare), watched.get_context()]
        contexts[1].add_task(functools.partial(int, "7"))
        contexts[2].add_task(Caller())
        list(contexts[3].map(len, ["abc"]))
        for context in contexts:
            list(context.get_results())
            context.close()
    run.check()
    assert run.names == {1: r"a\nb", 2: "int", 3: "Caller", 4: "len", 5: "prepare"}
    assert run.closed == set(run.names)  # the one without a name or a task was never used


@pytest.mark.parametrize(("name", "problem"), [("", ValueError), (" ", ValueError), (7, TypeError)])
def test_a_name_is_a_text(manager: Manager, name: Any, problem: type[Exception]) -> None:
    with pytest.raises(problem, match="name"):
        manager.get_context(name=name)


class Caller:
    """A task with a class."""

    def __call__(self) -> None:
        """Do nothing."""


def test_tasks_that_are_dropped_are_told_as_a_count(
    watched: Manager, run: RebuiltRun, tmp_path: Path
) -> None:
    with watched:
        context = watched.get_context(max_failures=2, max_attempts=1)
        for _ in range(100):
            context.add_task(time.sleep, 0.01)
        context.clear()
        for _ in range(3):
            context.add_task(int, "x")
        context.add_task(compute_for_ever, tmp_path / "runs")
        for _ in range(50):
            context.add_task(time.sleep, 0.1)
        with pytest.raises(Exception, match="2 tasks have failed"):
            list(context.get_results_unordered(on_error="return"))
        mapped = context.map(time.sleep, [0.01] * 100)
        mapped.close()
        wait_until(lambda: run.added[1] >= 154 and run.unfinished(1) == 0)
    run.check()
    assert sum(one.outcome == "raised" for one in run.done.values()) == 2


def test_tasks_whose_setup_fails_are_told_with_the_reason(
    watched: Manager, run: RebuiltRun
) -> None:
    with watched:
        context = watched.get_context(fail_to_prepare)
        for _ in range(10):
            context.add_task(int)
        list(context.get_results(on_error="return"))
    run.check()
    assert {(one.outcome, one.attempt, one.error) for one in run.done.values()} == {
        ("set-up failed", 0, "OSError: no disk")
    }
    assert {one.error for one in run.setups} == {"OSError: no disk"}


def test_many_small_tasks_are_told_in_few_events(watched: Manager, run: RebuiltRun) -> None:
    with watched:
        context = watched.get_context()
        for number in range(20_000):
            context.add_task(int, number)
        assert sum(1 for _ in context.get_results()) == 20_000
    run.check()
    batches = [event for event in run.events if isinstance(event, (TasksSent, TasksDone))]
    assert len(batches) < 4000


def test_times_can_be_converted_to_the_time_of_day(watched: Manager, run: RebuiltRun) -> None:
    before = time.time()
    with watched:
        context = watched.get_context()
        context.add_task(int)
        list(context.get_results())
    began = run.events[0]
    assert isinstance(began, RunBegan)
    (done,) = run.done.values()
    assert before - 5.0 <= began.wall_s + (done.at - began.at) <= time.time()


def test_a_slave_that_dies_is_told_as_gone_with_the_reason_and_then_as_launching_again(
    watched: Manager, run: RebuiltRun
) -> None:
    with watched:
        context = watched.get_context()
        context.add_task(int)
        list(context.get_results())
        changes = run.states["slave 0"]
        wait_until(lambda: changes and changes[-1].state == "idle")
        pid = watched.slaves[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "gone" in [one.state for one in changes])
        wait_until(lambda: changes[-1].state == "idle")
    run.check()
    (gone,) = [at for at, change in enumerate(changes) if change.state == "gone"]
    assert "killed by signal 9" in changes[gone].detail
    assert changes[gone + 1].state == "launching"
