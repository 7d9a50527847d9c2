"""A context of which too many tasks fail is ended, and its readers get the errors of those."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_ctrl_c import append_each

from imp_parallel_core import (
    CancelledError,
    Context,
    Manager,
    RemoteError,
    SetupError,
    TaskLostError,
    TooManyFailuresError,
)
from tests.support.runners import compute_for_ever
from tests.support.waiting import wait_until

READINGS = [Context.get_results, Context.get_results_unordered]


def wait_for(gate: Path) -> str:
    """Return when a file is there."""
    wait_until(gate.exists, 60.0)
    return "waited"


@pytest.mark.parametrize("read", READINGS)
def test_after_so_many_failures_the_rest_is_ended_and_readers_get_their_errors(
    two_slaves: Manager, tmp_path: Path, read: Callable[..., Any]
) -> None:
    context = two_slaves.get_context(max_failures=3, max_attempts=1)
    context.add_task(int, "1")
    assert list(read(context)) == [1]
    context.add_task(compute_for_ever, tmp_path / "runs")
    wait_until((tmp_path / "runs").exists, 30.0)
    context.add_task(int, "2")
    context.add_task(int, "x")
    context.add_task(int, "y")
    context.add_task(os._exit, 3)
    for number in range(50):
        context.add_task((tmp_path / f"mark{number}").touch)
    results: list[Any] = []
    with pytest.raises(TooManyFailuresError) as caught:
        append_each(read(context, on_error="return", numbered=True), results)
    if read is Context.get_results_unordered:  # in order, the first never comes
        assert results[0] == (2, 2)
        assert [number for number, _ in results] == [2, 3, 4, 5]
    error = caught.value
    assert [one.number for one in error.errors] == [3, 4, 5]
    assert [type(one) for one in error.errors] == [RemoteError, RemoteError, TaskLostError]
    assert str(error).startswith("3 tasks have failed, as many as max_failures says, and the rest")
    assert "invalid literal for int() with base 10: 'x'" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert [str(one) for one in again.errors] == [str(one) for one in error.errors]
    with pytest.raises(TooManyFailuresError):
        next(read(context))
    others = two_slaves.get_context()  # no slave is at what was ended
    assert list(others.map(abs, range(20))) == list(range(20))
    wait_until(lambda: all(slave.state == "idle" for slave in two_slaves.slaves), 30.0)
    assert not list(tmp_path.glob("mark*"))


def test_failures_that_are_read_one_by_one_count_too(one_slave: Manager) -> None:
    context = one_slave.get_context(max_failures=2)
    seen: list[Any] = []
    for text in ("x", "1", "y", "2"):
        context.add_task(int, text)
        try:
            seen += context.get_results()
        except RemoteError as error:
            seen.append(error.number)
        except TooManyFailuresError as error:
            seen.append([one.number for one in error.errors])
    assert seen == [0, 1, 2, [0, 2]]


def test_as_many_failures_as_tasks_are_too_many(one_slave: Manager) -> None:
    context = one_slave.get_context(max_failures=2)
    for _ in range(2):
        context.add_task(int, "x")
    results: list[Any] = []
    with pytest.raises(TooManyFailuresError):
        append_each(context.get_results(on_error="return"), results)
    assert [one.number for one in results] == [0, 1]


def test_a_setup_that_fails_gives_as_many_errors_and_no_more(one_slave: Manager) -> None:
    def setup() -> None:
        raise ValueError("no licence")

    context = one_slave.get_context(setup, max_failures=2)
    for _ in range(10):
        context.add_task(int)
    results: list[Any] = []
    with pytest.raises(TooManyFailuresError, match="no licence"):
        append_each(context.get_results(on_error="return"), results)
    assert [type(one) for one in results] == [SetupError] * 2


def test_tasks_that_are_cancelled_are_no_failures(one_slave: Manager, tmp_path: Path) -> None:
    context = one_slave.get_context(max_failures=1)
    context.add_task(wait_for, tmp_path / "gate")
    for _ in range(3):
        context.cancel(context.add_task(int))
    (tmp_path / "gate").touch()
    first, *others = context.get_results(on_error="return")
    assert first == "waited"
    assert [type(one) for one in others] == [CancelledError] * 3


def test_calls_of_maps_count_and_are_ended_too(one_slave: Manager) -> None:
    context = one_slave.get_context(max_failures=2)
    mapped = context.map(int, ["1", "x", "3", "y", "5", "6"], on_error="return", ahead=2)
    results: list[Any] = []
    with pytest.raises(TooManyFailuresError):
        append_each(mapped, results)
    assert results[0] == 1
    assert [one for one in results[2:3] if type(one) is int] == [3]
    with pytest.raises(TooManyFailuresError):
        next(context.map(int, ["1"]))


def test_a_reader_that_waits_is_told_at_once(two_slaves: Manager, tmp_path: Path) -> None:
    context = two_slaves.get_context(max_failures=1)
    context.add_task(compute_for_ever, tmp_path / "runs")
    found: list[BaseException] = []

    def read() -> None:
        try:
            list(context.get_results())
        except TooManyFailuresError as error:
            found.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    wait_until((tmp_path / "runs").exists, 30.0)
    context.add_task(int, "x")
    reader.join(30)
    assert len(found) == 1


def test_a_context_that_is_cleared_begins_anew(one_slave: Manager) -> None:
    context = one_slave.get_context(max_failures=2)
    for _ in range(3):
        for text in ("x", "y", "1"):
            context.add_task(int, text)
        with pytest.raises(TooManyFailuresError):
            list(context.get_results(on_error="return"))
        context.add_task(int, "2")  # which nobody will read
        context.clear()
        context.add_task(int, "x")
        context.add_task(int, "3")
        error, value = context.get_results(on_error="return")
        assert (error.number, value) == (0, 3)
        context.clear()


@pytest.mark.parametrize(("limit", "problem"), [(0, ValueError), ("2", TypeError)])
def test_a_limit_that_makes_no_sense_is_refused(
    manager: Manager, limit: Any, problem: type[Exception]
) -> None:
    with pytest.raises(problem, match="max_failures"):
        manager.get_context(max_failures=limit)
