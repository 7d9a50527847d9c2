"""A task can ask where it is: its number, its attempt, its context, its slave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_local import LocalSlave

import imp_parallel_core
from imp_parallel_core import Context, Manager, RemoteError, current_task
from tests.support.harness import Processes
from tests.support.waiting import wait_until


def where(*_: object) -> tuple[int | None, int | None, int, str, int]:
    """Return all that a task knows but the seed."""
    at = current_task()
    assert at is not None
    assert at.seed is None
    return at[:5]


def numbers_of(results: Iterable[Any]) -> list[int]:
    return [number for number, *_ in results]


def test_the_script_is_at_no_task() -> None:
    assert current_task() is None


def test_a_task_knows_its_number_its_context_and_its_slave(
    processes: Processes, two_slaves: Manager
) -> None:
    first, second = two_slaves.get_context(), two_slaves.get_context()
    for context in (first, second):
        for _ in range(300):
            context.add_task(where)
    names = {slave.index: slave.name for slave in two_slaves.slaves}
    for id, context in ((1, first), (2, second)):
        results = list(context.get_results())
        assert numbers_of(results) == list(range(300))
        for _, attempt, context_id, name, index in results:
            assert (attempt, context_id, name) == (1, id, names[index])


def test_the_number_is_the_one_that_errors_tell(processes: Processes, one_slave: Manager) -> None:
    def fail() -> None:
        at = current_task()
        assert at is not None
        raise ValueError(at.number)

    context = one_slave.get_context()
    for add in (context.clear, lambda: None):  # the numbers begin at 0 again
        add()
        for _ in range(5):
            context.add_task(fail)
        errors = list(context.get_results_unordered(on_error="return"))
        assert len(errors) == 5
        for error in errors:
            assert isinstance(error, RemoteError)
            assert error.exc is not None
            assert error.exc.args == (error.number,)
    assert sorted(error.number for error in errors) == list(range(5, 10))


def test_calls_of_maps_that_take_turns_have_the_numbers_of_their_items(
    processes: Processes, two_slaves: Manager
) -> None:
    def look(*_: object) -> list[int]:
        at = current_task()
        assert at is not None
        assert at.seed is not None
        assert at.number == at.seed[1]
        return at.seed

    context = two_slaves.get_context(seed=7)
    for _ in range(5):
        context.add_task(look)
    rows = [context.map(look, range(600), ahead=ahead) for ahead in (3, 4, 200)]
    of_each = list(zip(*zip(*rows, strict=True), strict=True))
    for map, seeds in enumerate(of_each, 1):
        assert list(seeds) == [[7, number, map] for number in range(600)]
    assert list(context.get_results()) == [[7, number] for number in range(5)]


def test_a_task_that_is_tried_again_knows_which_attempt_it_is(
    processes: Processes, two_slaves: Manager, tmp_path: Path
) -> None:
    def die(attempts: int) -> tuple[int | None, int | None]:
        at = current_task()
        assert at is not None
        if at.attempt != attempts:
            os.kill(os.getpid(), signal.SIGKILL)
        return at.number, at.attempt

    context = two_slaves.get_context()
    for attempts in (1, 3, 2, 1):
        context.add_task(die, attempts)
    assert list(context.get_results()) == [(0, 1), (1, 3), (2, 2), (3, 1)]


def test_a_task_whose_slave_is_lost_is_at_its_next_attempt(
    processes: Processes, one_slave: Manager, tmp_path: Path
) -> None:
    def lose_the_slave() -> int | None:
        at = current_task()
        assert at is not None
        if at.attempt == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
        return at.attempt

    context = one_slave.get_context()
    context.add_task(lose_the_slave)
    assert list(context.get_results()) == [2]


def test_a_setup_knows_its_slave_and_its_context_and_has_no_number(
    processes: Processes, two_slaves: Manager
) -> None:
    def set_up() -> tuple[Any]:
        return (current_task(),)

    def compare(at: imp_parallel_core.CurrentTask) -> bool:
        mine = current_task()
        assert mine is not None
        assert (at.number, at.attempt, at.seed) == (None, None, None)
        return at[2:] == mine[2:]

    two_slaves.get_context()
    context = two_slaves.get_context(set_up)
    for _ in range(20):
        context.add_task(compare)
    assert set(context.get_results()) == {True}


def test_what_a_task_calls_finds_it_and_what_it_starts_anew_does_not(
    processes: Processes, one_slave: Manager
) -> None:
    def look() -> tuple[Any, Any, int, str]:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(imp_parallel_core.current_task()))
        thread.start()
        thread.join()
        child = os.fork()
        if not child:
            os._exit(0 if current_task() == found[0] else 1)
        program = "import imp_parallel_core; print(imp_parallel_core.current_task())"
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        return current_task(), found[0], os.waitpid(child, 0)[1], said.stdout

    context = one_slave.get_context()
    context.add_task(look)
    ((own, in_thread, status, elsewhere),) = context.get_results()
    assert own == in_thread
    assert own.number == 0
    assert status == 0
    assert elsewhere == "None\n"


def test_between_two_tasks_there_is_none(
    processes: Processes, one_slave: Manager, tmp_path: Path
) -> None:
    def leave_a_thread() -> None:
        def look() -> None:
            while current_task() is not None:
                pass
            (tmp_path / "none").touch()

        threading.Thread(target=look, daemon=True).start()

    context = one_slave.get_context()
    context.add_task(leave_a_thread)
    list(context.get_results())
    wait_until((tmp_path / "none").exists)


@pytest.fixture
def context(one_slave: Manager) -> Context:
    return one_slave.get_context()


def test_a_later_runner_knows_its_tasks_too(
    processes: Processes, context: Context, one_slave: Manager
) -> None:
    before = one_slave.slaves[0].runner_pid
    context.add_task(where)
    assert list(context.get_results()) == [(0, 1, 1, "slave 0", 0)]
    pid = one_slave.slaves[0].runner_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: one_slave.slaves[0].runner_pid not in (None, pid, before))
    one_slave.add_slave(LocalSlave())
    context.add_task(where)
    ((number, attempt, id, name, index),) = context.get_results()
    assert (number, attempt, id) == (1, 1, 1)
    assert name == f"slave {index}"
