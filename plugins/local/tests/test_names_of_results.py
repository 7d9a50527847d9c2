"""Each result says whose it is: numbers of tasks, keywords, and readings that wait for a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from test_ctrl_c import Interrupter, append_each, interrupted, places

from imp_parallel_core import (
    Error,
    Manager,
    PicklingError,
    RemoteError,
    ResultTimeoutError,
    TaskLostError,
)
from tests.support.waiting import wait_until


def wait_for(gate: Path) -> str:
    """Return when a file is there."""
    wait_until(gate.exists, 60.0)
    return "waited"


def see(*args: Any, **keywords: Any) -> Any:
    """Return how this was called."""
    return args, keywords


def test_add_task_returns_the_number_by_which_results_and_errors_name_the_task(
    two_slaves: Manager,
) -> None:
    context = two_slaves.get_context(max_attempts=1)
    texts = ["5", "x", "7", "die", "9"]
    numbers = {}
    for text in texts:
        if text == "die":
            numbers[context.add_task(lambda: __import__("os")._exit(3))] = text
        else:
            numbers[context.add_task(int, text)] = text
    assert list(numbers) == [0, 1, 2, 3, 4]
    seen = dict(context.get_results_unordered(numbered=True, on_error="return"))
    assert seen.keys() == numbers.keys()
    assert [seen[number] for number in (0, 2, 4)] == [5, 7, 9]
    for number, kind in ((1, RemoteError), (3, TaskLostError)):
        assert type(seen[number]) is kind
        assert seen[number].number == number
    assert context.add_task(int) == 5
    assert list(context.get_results(numbered=True)) == [(5, 0)]


def test_numbers_are_in_the_order_of_adding_when_results_are_read_in_order(
    two_slaves: Manager,
) -> None:
    context = two_slaves.get_context()
    numbers = [context.add_task(int, n) for n in range(1000)]
    assert list(context.get_results(numbered=True)) == list(zip(numbers, range(1000), strict=True))


def test_threads_that_add_tasks_at_once_get_numbers_of_their_own(two_slaves: Manager) -> None:
    context = two_slaves.get_context()
    numbers: dict[int, tuple[int, int]] = {}

    def add(thread: int) -> None:
        for n in range(500):
            numbers[context.add_task(see, thread, n)] = thread, n

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results = dict(context.get_results(numbered=True))
    assert {number: args for number, (args, _) in results.items()} == numbers
    assert list(results) == list(range(2000))


def test_the_calls_of_a_map_take_no_numbers_of_other_tasks(one_slave: Manager) -> None:
    context = one_slave.get_context()
    assert context.add_task(int) == 0
    assert list(context.map(abs, [-1, -2])) == [1, 2]
    assert context.add_task(int) == 1
    context.clear()
    assert context.add_task(int) == 0


def test_an_interrupt_in_add_task_leaves_no_number_without_a_task(one_slave: Manager) -> None:
    def act(interrupter: Interrupter) -> None:
        context = one_slave.get_context()
        context.add_task(str, "first")
        interrupted(interrupter, lambda: context.add_task(str, "interrupted"))
        last = context.add_task(str, "last")
        results = dict(context.get_results(numbered=True))
        assert results[last] == "last"
        assert list(results) == list(range(last + 1))

    assert len(list(places(act))) > 20


def test_keywords_are_passed_on_behind_what_the_setup_returned(one_slave: Manager) -> None:
    context = one_slave.get_context(lambda: ("from", "setup"))
    context.add_task(see, 1, task=2, self=3)
    context.add_task(lambda *args, **keywords: (args, keywords), scale=0.5)
    context.add_task(see)
    assert list(context.get_results()) == [
        (("from", "setup", 1), {"task": 2, "self": 3}),
        (("from", "setup"), {"scale": 0.5}),
        (("from", "setup"), {}),
    ]


def test_an_error_shows_keywords_and_holds_the_task_as_it_was_given(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(int, "12", base="x")
    (error,) = context.get_results(on_error="return")
    assert error.args_of_task == ("'12'", "base='x'")
    assert error.task is int
    assert "\n  called with: '12', base='x'" in str(error)
    assert "set-up" not in str(error)


def test_an_error_says_that_the_arguments_come_behind_what_the_setup_returned(
    one_slave: Manager,
) -> None:
    context = one_slave.get_context(lambda: ("12",))
    context.add_task(int, base="x")
    (error,) = context.get_results(on_error="return")
    assert "\n  called, after what the set-up returned, with: base='x'" in str(error)


def test_an_error_shows_a_function_by_its_name_and_not_as_a_call_without_arguments(
    one_slave: Manager,
) -> None:
    def task(number: int) -> float:
        return 1 / number

    context = one_slave.get_context()
    context.add_task(task, 0)
    (error,) = context.get_results(on_error="return")
    assert f"\n  the task: {task.__qualname__}\n  called with: 0\n" in str(error)


def test_a_keyword_that_can_not_be_pickled_is_named(one_slave: Manager) -> None:
    context = one_slave.get_context()
    with pytest.raises(PicklingError, match=r"keywords\['lock'\]") as caught:
        context.add_task(see, lock=threading.Lock())
    assert caught.value.culprit.startswith("keywords['lock']")


@pytest.mark.parametrize("read", ["get_results", "get_results_unordered"])
def test_a_reading_may_wait_for_a_time_and_go_on(
    one_slave: Manager, tmp_path: Path, read: str
) -> None:
    context = one_slave.get_context()
    context.add_task(str, "at once")
    context.add_task(wait_for, tmp_path / "gate")
    results = getattr(context, read)(timeout_s=0.05)
    seen: list[str] = []
    for _ in range(3):
        with pytest.raises(ResultTimeoutError, match=r"no result has come for 0\.05 s") as caught:
            append_each(results, seen)
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, Error)
        assert caught.value.timeout_s == 0.05
        results = getattr(context, read)(timeout_s=0.05)
    (tmp_path / "gate").touch()
    seen += getattr(context, read)(timeout_s=60.0)
    assert seen == ["at once", "waited"]
    assert list(getattr(context, read)(timeout_s=0.0)) == []


def test_readings_that_timed_out_leave_nothing_behind(one_slave: Manager, tmp_path: Path) -> None:
    context = one_slave.get_context()
    context.add_task(wait_for, tmp_path / "gate")
    for _ in range(100):
        with pytest.raises(ResultTimeoutError):
            next(context.get_results_unordered(timeout_s=0.001))
    waiters = context._open.inbox._waiters
    assert len(one_slave.slaves) == 1  # (asked of the engine, which has seen all of them by then)
    assert len(waiters) <= 2
    (tmp_path / "gate").touch()
    assert list(context.get_results()) == ["waited"]


@pytest.mark.parametrize("timeout_s", [-1, float("nan")])
def test_a_time_to_wait_that_makes_no_sense_is_refused(one_slave: Manager, timeout_s: Any) -> None:
    context = one_slave.get_context()
    with pytest.raises(ValueError, match="timeout_s"):
        context.get_results(timeout_s=timeout_s)
    with pytest.raises(TypeError, match="timeout_s"):
        context.get_results(timeout_s="soon")  # type: ignore[arg-type]  # what is tested
