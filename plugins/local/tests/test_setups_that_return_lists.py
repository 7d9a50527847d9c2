"""A set-up's list is spread over the arguments; where the task does not fit, its error says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from imp_parallel_core import Manager, RemoteError


def task(values: Any, x: int) -> Any:
    return values, x


def fail(
    manager: Manager, setup: Callable[[], Any] | None, task: Any, *args: Any, **keywords: Any
) -> RemoteError:
    context = manager.get_context(setup)
    context.add_task(task, *args, **keywords)
    (error,) = context.get_results(on_error="return")
    assert isinstance(error, RemoteError)
    assert error.exc_type == "builtins.TypeError"
    return error


class Called:
    def __call__(self, values: Any, x: int) -> None:
        raise AssertionError("it was called")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ([1, 2, 3], "a list of 3 values, which the task was given as 3 arguments"),
        ((1, 2), "a tuple of 2 values, which the task was given as 2 arguments"),
        ([], "a list of 0 values, which the task was given as no argument"),
    ],
)
def test_an_error_of_a_call_that_does_not_fit_says_that_the_set_up_was_spread(
    one_slave: Manager, made: Any, words: str
) -> None:
    error = fail(one_slave, lambda: made, task, 7)
    assert f"the set-up returned {words}" in str(error)
    assert "return (values,)" in str(error)
    assert len(error.exc_notes) == 1


@pytest.mark.parametrize("called", [Called(), lambda values, x: None, partial(task, x=1), divmod])
def test_the_same_holds_for_all_kinds_of_tasks(one_slave: Manager, called: Any) -> None:
    error = fail(one_slave, lambda: [1, 2, 3], called)
    assert "the set-up returned a list of 3 values" in str(error)


def test_it_holds_for_keywords_and_when_the_call_is_made_again(one_slave: Manager) -> None:
    error = fail(one_slave, lambda: [1, 2, 3], task, x=7)
    assert "the set-up returned a list of 3 values" in str(error)
    with pytest.raises(TypeError) as raised:
        error.rerun()
    assert raised.value.__notes__ == list(error.exc_notes)


def raise_itself(*values: Any) -> None:
    raise TypeError("of its own")


@pytest.mark.parametrize(
    ("setup", "called", "args"),
    [
        (None, task, (1, 2, 3)),  # no set-up
        (lambda: {"a": 1}, task, (1, 2, 3)),  # one value, which is not spread
        (lambda: [1, 2], raise_itself, ()),  # the task's own error
        (lambda: [1, 2], lambda a, b: task(*[a]), ()),  # a call that does not fit, within the task
        (lambda: [1, "a"], divmod, ()),  # the call fits, and the values don't
    ],
)
def test_other_errors_say_nothing_of_the_set_up(
    one_slave: Manager, setup: Any, called: Any, args: tuple[Any, ...]
) -> None:
    error = fail(one_slave, setup, called, *args)
    assert "the set-up returned a" not in str(error)


def test_a_list_in_a_tuple_is_one_argument(one_slave: Manager) -> None:
    context = one_slave.get_context(lambda: ([1, 2, 3],))
    context.add_task(task, 7)
    assert list(context.get_results()) == [([1, 2, 3], 7)]
