"""A process that has run as many tasks as it may makes way for a new one, and nothing is lost."""

from __future__ import annotations

import atexit
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager, RemoteError, TaskMemoryError
from tests.support.rebuilt_run import RebuiltRun

MB = 1_000_000
LEAKED: list[bytes] = []


def pid_of(number: int, *values: object) -> int:
    return os.getpid()


def raise_pid(number: int) -> None:
    raise ValueError(os.getpid())


def leak(number: int) -> int:
    LEAKED.append(b"x" * (40 * MB))
    time.sleep(0.2)  # in which the memory is looked at
    return number


@pytest.mark.parametrize("limit", [1, 7])
def test_a_process_runs_as_many_tasks_as_it_may_and_no_more(manager: Manager, limit: int) -> None:
    run = 5 * limit + 1
    manager.add_slave(LocalSlave())
    context = manager.get_context(max_tasks_per_runner=limit)
    for number in range(run):
        context.add_task(pid_of, number)
    by_process = Counter(context.get_results_unordered())
    assert sorted(by_process.values()) == [1, *[limit] * 5] if limit > 1 else [1] * 6
    assert [slave.state for slave in manager.slaves] == ["idle"]


def test_who_looks_at_a_slave_meanwhile_sees_that_its_process_makes_room() -> None:
    run = RebuiltRun()
    with Manager(output=None, plugins=[run]) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context(max_tasks_per_runner=1)
        for number in range(3):
            context.add_task(pid_of, number)
        assert len(set(context.get_results())) == 3
    run.check()
    details = {event.detail for event in run.states["slave 0"] if event.state == "connected"}
    assert details == {"", "its runner has made room for a new process"}
    assert run.deaths == []


def test_each_process_runs_the_set_up(manager: Manager, tmp_path: Path) -> None:
    def setup() -> tuple[int, int]:
        with (tmp_path / "set-ups").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return os.getpid(), 0

    def is_mine(mine: int, _: int) -> bool:
        return mine == os.getpid()

    manager.add_slave(LocalSlave())
    context = manager.get_context(setup, max_tasks_per_runner=2)
    for _ in range(6):
        context.add_task(is_mine)
    assert all(context.get_results_unordered())
    set_ups = (tmp_path / "set-ups").read_text().split()
    assert len(set_ups) == len(set(set_ups)) == 3


def test_tasks_that_fail_count_too(manager: Manager) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context(max_tasks_per_runner=2)
    for number in range(6):
        context.add_task(raise_pid, number)
    errors = list(context.get_results_unordered(on_error="return"))
    assert all(isinstance(error, RemoteError) for error in errors)
    assert set(Counter(error.exc.args[0] for error in errors).values()) == {2}


def test_the_old_process_exits_by_itself(manager: Manager, tmp_path: Path) -> None:
    def leave_a_note(path: Path) -> None:
        path.write_text("left")

    def register(number: int) -> None:
        atexit.register(leave_a_note, tmp_path / str(number))

    manager.add_slave(LocalSlave())
    context = manager.get_context(max_tasks_per_runner=1)
    for number in range(3):
        context.add_task(register, number)
    list(context.get_results_unordered())
    assert {path.name for path in tmp_path.iterdir() if path.name.isdigit()} >= {"0", "1"}


def test_a_process_that_does_not_exit_is_killed(manager: Manager) -> None:
    def stay(number: int) -> int:
        atexit.register(time.sleep, 1000.0)
        return number

    manager.add_slave(LocalSlave())
    context = manager.get_context(max_tasks_per_runner=1)
    for number in range(2):
        context.add_task(stay, number)
    assert list(context.get_results()) == [0, 1]


def test_tasks_that_leak_come_to_their_end_in_new_processes(manager: Manager) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context(task_memory_bytes=300 * MB, max_tasks_per_runner=3)
    for number in range(12):
        context.add_task(leak, number)
    assert list(context.get_results()) == list(range(12))


def test_a_task_that_pays_for_the_leaks_of_others_is_tried_in_a_new_process(
    manager: Manager,
) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context(task_memory_bytes=300 * MB)
    for number in range(14):
        context.add_task(leak, number)
    assert list(context.get_results()) == list(range(14))


def test_a_task_that_holds_too_much_by_itself_fails_after_others_as_well(manager: Manager) -> None:
    def hold(number: int) -> int:
        held = b"x" * (500 * MB if number == 1 else 1)
        if number == 1:
            time.sleep(600)
        return len(held)

    manager.add_slave(LocalSlave())
    context = manager.get_context(task_memory_bytes=200 * MB)
    for number in range(3):
        context.add_task(hold, number)
    results = list(context.get_results(on_error="return"))
    assert [type(result) for result in results] == [int, TaskMemoryError, int]
    assert "max_tasks_per_runner" in str(results[1])


@pytest.mark.parametrize("ends_process", [False, True])
def test_a_set_up_that_fails_now_and_then_costs_no_slave(
    manager: Manager, tmp_path: Path, ends_process: bool
) -> None:
    def setup() -> None:
        """Fail in each second process."""
        with (tmp_path / "set-ups").open("a+") as file:
            file.write("x")
            file.seek(0)
            count = len(file.read())
        if count % 2 == 0 and ends_process:
            os._exit(3)
        elif count % 2 == 0:
            raise ValueError("not this time")

    manager.add_slave(LocalSlave())
    context = manager.get_context(setup, max_tasks_per_runner=1)
    for number in range(6):
        context.add_task(pid_of, number)
    assert len(set(context.get_results_unordered())) == 6


def test_observers_are_told_of_set_ups_and_of_no_loss() -> None:
    run = RebuiltRun()
    with Manager(output=None, plugins=[run]) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context(max_tasks_per_runner=2)
        for number in range(20):
            context.add_task(pid_of, number)
        assert max(Counter(context.get_results_unordered()).values()) <= 2
    run.check()
    told = Counter(type(event).__name__ for event in run.events)
    assert "RunnerLost" not in told
    assert told["SetupDone"] >= 10


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", True])
def test_a_number_of_tasks_that_is_none_is_refused(manager: Manager, number: object) -> None:
    with pytest.raises((TypeError, ValueError), match="max_tasks_per_runner"):
        manager.get_context(max_tasks_per_runner=number)  # type: ignore[arg-type]  # which is the test
