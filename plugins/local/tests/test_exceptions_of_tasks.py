"""A task's exception comes home; where that can't be, its error says why, and what it was."""

from __future__ import annotations

import copy
import copyreg
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from imp_parallel_core import Manager, RemoteError

Fail = Callable[[Callable[[], Any]], RemoteError]
"""Runs a task that raises, and returns its error."""


@pytest.fixture
def fail(one_slave: Manager) -> Fail:
    context = one_slave.get_context()

    def run(task: Callable[[], Any]) -> RemoteError:
        context.add_task(task)
        (error,) = context.get_results(on_error="return")
        assert isinstance(error, RemoteError)
        return error

    return run


class Overlap(Exception):
    """Its ``__init__`` takes other arguments than it passes on."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second} overlap")
        self.both = first, second


class Holding(Exception):
    """Can't be pickled."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lock = threading.Lock()


class Remade(Exception):
    """Is rebuilt as it says."""

    def __reduce__(self) -> Any:
        return self.args


def test_an_exception_whose_init_takes_other_arguments_comes_home(fail: Fail) -> None:
    def task() -> None:
        problem = Overlap("A", "B")
        problem.add_note("seen in frame 3")
        raise problem

    error = fail(task)
    assert type(error.exc) is Overlap
    assert error.exc.args == ("A and B overlap",)
    assert error.exc.both == ("A", "B")
    assert error.exc.__notes__ == ["seen in frame 3"]
    assert error.exc_problem == ""


def test_an_error_survives_pickling_whatever_its_task_and_its_exception_are(
    fail: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    # tblib, which Dask's tests bring into this process, has exceptions pickled with their causes
    monkeypatch.delitem(copyreg.dispatch_table, RemoteError, raising=False)

    class Local(Exception):
        """Can only be pickled by value."""

    def refuse() -> None:
        raise Local("of a local class")

    error = fail(refuse)
    for again in pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error):
        assert str(again) == str(error)
        assert str(again.exc) == "of a local class"
        assert not again.exc_problem
        with pytest.raises(type(again.exc)):
            again.task()
    assert isinstance(copy.copy(error).exc, Local)
    with pytest.raises(Local):
        copy.copy(error).rerun()
    error.exc = Holding(threading.Lock())  # as an exception that gets a lock when it is rebuilt
    lost = pickle.loads(pickle.dumps(error))
    assert lost.exc is None
    assert "cannot pickle '_thread.lock' object" in lost.exc_problem
    assert error.exc is not None
    assert not error.exc_problem


def test_an_exception_that_can_not_be_pickled_is_described(fail: Fail) -> None:
    def task() -> None:
        problem = Holding("no convergence", 17, [1.5])
        problem.add_note("of model 3")
        problem.add_note("of 20")
        raise problem

    error = fail(task)
    assert error.exc is None
    assert error.exc_problem.startswith("the exception.lock (of type lock) can't be pickled: ")
    assert error.exc_type == f"{__name__}.Holding"
    assert error.exc_args == ("'no convergence'", "17", "[1.5]")
    assert error.exc_notes == ("of model 3", "of 20")
    assert f"exc is None: {error.exc_problem}" in str(error)
    error.task = None  # a copy of it would be another one
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)


class Divide:
    """A task that can be pickled."""

    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, number: int) -> float:
        return number / self.by


def test_an_error_travels_with_a_copy_of_its_task(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(Divide(0), 3)
    (error,) = context.get_results(on_error="return")
    for again in pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error):
        assert isinstance(again, RemoteError)
        assert (again.task.by, again.args_of_task, again.number) == (0, ("3",), 0)
        assert str(again) == str(error)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ((int, ("x",)), r"it can't be unpickled on the master: ValueError: invalid literal .* 'x'"),
        ((str, ("y",)), "it was unpickled as an instance of str"),
    ],
)
def test_an_exception_that_can_not_be_rebuilt_is_described(
    fail: Fail, args: tuple[Any, ...], problem: str
) -> None:
    def task() -> None:
        raise Remade(*args)

    error = fail(task)
    assert error.exc is None
    assert error.exc_args == tuple(map(repr, args))
    with pytest.raises(RemoteError, match=f"exc is None: {problem}"):
        raise error


def test_an_exception_group_arrives_or_is_described(fail: Fail) -> None:
    def group(*problems: Exception) -> Callable[[], None]:
        def task() -> None:
            raise ExceptionGroup("two failed", [*problems])

        return task

    error = fail(group(ValueError(3), Overlap("A", "B")))
    assert isinstance(error.exc, ExceptionGroup)
    assert [type(problem) for problem in error.exc.exceptions] == [ValueError, Overlap]

    def task() -> None:
        raise ExceptionGroup("two failed", [ValueError(3), Holding("locked")])

    error = fail(task)
    assert error.exc is None
    assert "lock" in error.exc_problem
    assert error.exc_type == "builtins.ExceptionGroup"
    assert error.exc_args == ("'two failed'", "[ValueError(3), Holding('locked')]")
    for line in ("ValueError: 3", "Holding: locked"):
        assert line in error.traceback
        assert line in str(error)


def test_the_exceptions_before_are_in_the_traceback(fail: Fail) -> None:
    def task() -> None:
        try:
            try:
                raise KeyError("the first")
            except KeyError:
                raise ValueError("the second")  # noqa: B904 - its context is what is looked for
        except ValueError as cause:
            raise Holding("the third") from cause

    error = fail(task)
    words = ["KeyError: 'the first'", "ValueError: the second", "Holding: the third"]
    places = [error.traceback.index(word) for word in words]
    assert places == sorted(places)
    assert "During handling of the above exception" in error.traceback
    assert "The above exception was the direct cause" in error.traceback


def test_the_description_of_an_exception_is_bounded_and_printable(fail: Fail) -> None:
    def task() -> None:
        problem = Holding("\x1b[2J" + "x" * 100_000, *range(1000))
        for n in range(1000):
            problem.add_note(f"\x1b]0;title\x07 {n} " + "y" * 10_000)
        raise problem

    error = fail(task)
    assert len(error.exc_args) == len(error.exc_notes) == 100
    assert max(map(len, error.exc_args)) < 1000
    assert max(map(len, error.exc_notes)) < 3000
    for text in (*error.exc_args, *error.exc_notes, error.traceback, str(error)):
        assert "\x1b" not in text
        assert "\x07" not in text


class CanNotBeRebuilt:
    """Raises where it is unpickled."""

    def __reduce__(self) -> Any:
        return open, ("/nonexistent/file",)


def test_what_can_not_be_rebuilt_fails_the_tasks_that_use_it_and_no_others(
    one_slave: Manager,
) -> None:
    context = one_slave.get_context()
    script: dict[str, Any] = {"__name__": "__main__", "CFG": CanNotBeRebuilt()}

    def run(source: str) -> Any:
        context.add_task(eval(source, script))
        (result,) = context.get_results(on_error="return")
        return result

    for source in ("lambda: CFG", "lambda: [CFG]"):
        error = run(source)
        assert error.exc_type == "builtins.FileNotFoundError"
        assert "the global 'CFG'" in error.exc_notes[0]
    context.add_task(abs, -1)
    assert list(context.get_results()) == [1]
    script["CFG"] = 1
    assert run("lambda: CFG") == 1
