"""Each error of a task has what its constructor was told of the task, also when it was pickled."""

from __future__ import annotations

import pickle

import pytest

from imp_parallel_core import (
    CancelledError,
    Error,
    RemoteError,
    SetupError,
    TaskLostError,
    TaskMemoryError,
)

KINDS = [CancelledError, RemoteError, SetupError, TaskLostError, TaskMemoryError]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_has_its_task_number_and_arguments_and_a_pickled_one_too(
    kind: type[CancelledError | RemoteError | TaskLostError | TaskMemoryError],
) -> None:
    error = kind("task 3 failed", rebuild_task=lambda: abs, number=3, args_of_task=["-1", "x=2"])
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert each.task is abs
        assert each.number == 3
        assert each.args_of_task == ("-1", "x=2")
        assert repr(each) == repr(error)
    assert kind("task 3 failed", task=max).task is max


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_takes_nothing_that_it_does_not_know(kind: type[Error]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'arguments'"):
        kind("task 3 failed", arguments=1)  # type: ignore[call-arg]  # which is the test
