"""One task can be stopped, or all that are left, and nothing else suffers from that."""

from __future__ import annotations

import concurrent.futures
import os
import pickle
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from test_ctrl_c import append_each

from imp_parallel_core import (
    CancelledError,
    ClosedError,
    Context,
    Error,
    Manager,
)
from tests.support.harness import Processes
from tests.support.runners import compute_for_ever
from tests.support.waiting import wait_until


def wait_for(gate: Path) -> str:
    """Return when a file is there."""
    wait_until(gate.exists, 60.0)
    return "waited"


def leave_a_mark(path: Path) -> None:
    path.touch()


def meet(pid: int, folder: Path) -> int:
    """Return when another process has come, too."""
    folder.mkdir(exist_ok=True)
    (folder / str(pid)).touch()
    wait_until(lambda: len(list(folder.iterdir())) == 2, 60.0)
    return pid


def results_of(context: Context) -> dict[int, Any]:
    """Return all results and errors that are left, by number."""
    return dict(context.get_results_unordered(on_error="return", numbered=True))


def test_a_task_that_waits_is_forgotten_and_that_is_its_outcome(
    one_slave: Manager, tmp_path: Path
) -> None:
    context = one_slave.get_context()
    context.add_task(wait_for, tmp_path / "gate")
    numbers = [context.add_task(leave_a_mark, tmp_path / f"mark{n}") for n in range(5)]
    assert context.cancel(numbers[2]) == "forgotten"
    assert context.cancel(numbers[2]) == "late"
    (tmp_path / "gate").touch()
    error = results_of(context)[numbers[2]]
    assert isinstance(error, Error)
    assert isinstance(error, CancelledError)
    assert isinstance(error, concurrent.futures.CancelledError)
    assert str(error).startswith(f"task {numbers[2]} was cancelled\n  the task: leave_a_mark")
    assert error.number == numbers[2]
    assert sorted(path.name for path in tmp_path.glob("mark*")) == [
        *("mark0", "mark1", "mark3", "mark4")
    ]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is CancelledError
    assert (str(again), again.number, again.args_of_task) == (
        *(str(error), error.number, error.args_of_task),
    )


@pytest.mark.parametrize("read", ["get_results", "get_results_unordered"])
def test_a_cancelled_tasks_error_comes_where_its_result_would_have_been(
    one_slave: Manager, tmp_path: Path, read: str
) -> None:
    context = one_slave.get_context()
    context.add_task(wait_for, tmp_path / "gate")
    context.cancel(context.add_task(str))
    context.add_task(str, "last")
    (tmp_path / "gate").touch()
    seen: list[str] = []
    with pytest.raises(CancelledError):
        append_each(getattr(context, read)(), seen)
    if read == "get_results":
        assert seen == ["waited"]
    append_each(getattr(context, read)(), seen)
    assert sorted(seen) == ["last", "waited"]


def test_a_task_in_c_code_that_never_returns_is_ended_and_its_slave_goes_on(
    two_slaves: Manager, processes: Processes, tmp_path: Path
) -> None:
    def setup() -> int:
        with (tmp_path / "log").open("a") as log:
            log.write(f"{os.getpid()}\n")
        return os.getpid()

    context = two_slaves.get_context(setup, max_attempts=1)  # one death would be the end of a task
    stuck = context.add_task(lambda pid, mark: compute_for_ever(mark), tmp_path / "mark")
    numbers = [context.add_task(lambda pid, n=n: n) for n in range(200)]
    wait_until((tmp_path / "mark").exists, 30.0)
    supervisors = sorted(processes.supervisors())
    assert context.cancel(stuck) == "ended"
    results = results_of(context)
    # sooner than a slave is asked that has been at a task for long
    wait_until(lambda: all(slave.state == "idle" for slave in two_slaves.slaves), 20.0)
    assert type(results.pop(stuck)) is CancelledError
    assert results == dict(zip(numbers, range(200), strict=True))
    for _ in range(2):
        context.add_task(meet, tmp_path / "meeting")
    assert len(set(context.get_results())) == 2, "both slaves work"
    assert sorted(processes.supervisors()) == supervisors
    logged = (tmp_path / "log").read_text().split()
    assert len(logged) == len(set(logged)) == 3, "the set-up runs again in the new process alone"


def test_the_neighbours_of_a_task_that_is_ended_are_tried_again_at_no_charge(
    one_slave: Manager, tmp_path: Path
) -> None:
    context = one_slave.get_context(max_attempts=1)
    list(context.map(abs, range(100)))  # short tasks, so that others are sent ahead
    for turn in range(3):
        mark = tmp_path / str(turn)
        stuck = context.add_task(compute_for_ever, mark)
        numbers = [context.add_task(abs, n) for n in range(100)]
        wait_until(mark.exists, 30.0)
        assert context.cancel(stuck) == "ended"
        results = results_of(context)
        assert type(results.pop(stuck)) is CancelledError
        assert results == dict(zip(numbers, range(100), strict=True))


def test_a_task_that_has_its_outcome_keeps_it(one_slave: Manager) -> None:
    context = one_slave.get_context()
    number = context.add_task(int, "1")
    wait_until(lambda: one_slave.slaves[0].tasks_done == 1)
    assert context.cancel(number) == "late"
    assert results_of(context) == {number: 1}
    assert context.cancel(number) == "late"


def test_a_reader_that_waits_gets_the_error_at_once(one_slave: Manager, tmp_path: Path) -> None:
    context = one_slave.get_context()
    stuck = context.add_task(compute_for_ever, tmp_path / "mark")
    found: list[dict[int, Any]] = []
    reader = threading.Thread(target=lambda: found.append(results_of(context)))
    reader.start()
    wait_until((tmp_path / "mark").exists, 30.0)
    context.cancel(stuck)
    reader.join(30)
    assert [type(error) for error in found[0].values()] == [CancelledError]


def test_whatever_is_cancelled_while_tasks_run_each_task_has_one_outcome(
    two_slaves: Manager,
) -> None:
    dice = random.Random(5)
    context = two_slaves.get_context(max_attempts=1)

    def task(n: int) -> int:
        time.sleep(0.0005)
        return n

    count = 1500
    for n in range(count):
        context.add_task(task, n)
    cancelled = {}
    seen: dict[int, Any] = {}
    for number, result in context.get_results_unordered(on_error="return", numbered=True):
        assert number not in seen
        seen[number] = result
        if dice.random() < 0.1:
            victim = dice.randrange(count)
            done = context.cancel(victim)
            if done != "late":
                assert victim not in cancelled
                cancelled[victim] = done
        if number % 50 == 0:  # the one that is about to begin, or has just begun
            done = context.cancel(min(number + 1, count - 1))
            if done != "late":
                cancelled[min(number + 1, count - 1)] = done
    assert len(seen) == count
    assert {n for n, result in seen.items() if type(result) is CancelledError} == set(cancelled)
    assert all(result == n for n, result in seen.items() if n not in cancelled)
    assert cancelled


def test_a_number_that_no_task_has_is_refused(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(int)
    for number in (-1, 1):
        with pytest.raises(ValueError, match=f"there is no task {number}"):
            context.cancel(number)
    with pytest.raises(TypeError, match="number='0'"):
        context.cancel("0")  # type: ignore[arg-type]  # what is tested
    context.close()
    with pytest.raises(ClosedError):
        context.cancel(0)


def test_a_task_of_a_map_is_not_cancelled_by_the_number_of_another(
    one_slave: Manager, tmp_path: Path
) -> None:
    context = one_slave.get_context()
    context.add_task(wait_for, tmp_path / "gate")
    mapped = context.map(abs, [-1, -2, -3], ahead=3)
    reader = threading.Thread(target=lambda: found.extend(mapped))
    found: list[int] = []
    reader.start()
    wait_until(lambda: len(mapped._under_way) == 3)
    number = context.add_task(abs, -4)
    assert context.cancel(number) == "forgotten"
    (tmp_path / "gate").touch()
    reader.join(30)
    assert found == [1, 2, 3]
    assert type(results_of(context)[number]) is CancelledError


def test_a_loop_that_is_left_early_ends_the_rest_at_once(
    two_slaves: Manager, tmp_path: Path
) -> None:
    with two_slaves.get_context() as context:
        context.add_task(str, "found")
        for n in range(10):
            context.add_task(compute_for_ever, tmp_path / f"mark{n}")
        for result in context.get_results_unordered():
            if result == "found":
                break
    others = two_slaves.get_context()
    assert list(others.map(abs, range(50))) == list(range(50))
    wait_until(lambda: all(slave.state == "idle" for slave in two_slaves.slaves), 30.0)
