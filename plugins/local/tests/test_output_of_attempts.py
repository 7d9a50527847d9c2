"""Errors tell what exactly their attempts have printed."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import (
    Attempt,
    Manager,
    RemoteError,
    TaskLostError,
    TaskMemoryError,
    TooManyFailuresError,
)
from tests.support.printing import check_that_errors_hold_what_their_attempts_printed

pytestmark = pytest.mark.usefixtures("traced_slaves")


@pytest.fixture(autouse=True)
def _with_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def fail(words: str) -> None:
    """Print some words, and fail."""
    print(words)
    raise ValueError(words)


def speak_and_end() -> None:
    """Print some words, and end the process."""
    print("last words")
    os._exit(1)


def test_errors_hold_what_their_attempts_printed(manager: Manager) -> None:
    manager.add_slave(LocalSlave())
    check_that_errors_hold_what_their_attempts_printed(manager)


def test_errors_hold_what_their_attempts_printed_if_the_output_goes_nowhere() -> None:
    with Manager(output=None) as manager:
        manager.add_slave(LocalSlave())
        check_that_errors_hold_what_their_attempts_printed(manager)


def test_the_words_of_a_killed_attempt_are_its_own_and_not_its_neighbours(
    manager: Manager,
) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context(max_attempts=1, task_timeout_s=0.3)

    def hang() -> None:
        print("it hangs")
        while True:
            pass

    for task in (lambda: print("before"), hang, lambda: print("after")):
        context.add_task(task)
    _, lost, _ = context.get_results(on_error="return")
    assert isinstance(lost, TaskLostError)
    assert str(lost).startswith("task 1 was given up after 1 attempt, which ended its runner:\n")
    (attempt,) = lost.attempts
    assert "overran its time limit" in attempt
    assert attempt.output == "it hangs\n"


def test_a_task_that_held_too_much_memory_has_its_output(manager: Manager) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context(task_memory_bytes=300 << 20)

    def swell() -> None:
        print("it swells")
        held = bytearray(600 << 20)
        while held:
            held[:: 1 << 12] = bytes(len(held[:: 1 << 12]))

    context.add_task(swell)
    (error,) = context.get_results(on_error="return")
    assert isinstance(error, TaskMemoryError)
    assert error.output == "it swells\n"


def test_what_a_task_prints_elsewhere_is_not_in_its_output(
    manager: Manager, tmp_path: Path
) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context()

    def redirect() -> None:
        print("to the slave's output")
        sys.stdout.flush()
        with (tmp_path / "elsewhere").open("w") as file:
            os.dup2(file.fileno(), 1)
        print("elsewhere")
        sys.stdout.flush()
        raise ValueError

    context.add_task(redirect)
    (error,) = context.get_results(on_error="return")
    assert isinstance(error, RemoteError)
    assert error.output == "to the slave's output\n"


def test_a_slave_whose_output_file_is_emptied_goes_on(manager: Manager, tmp_path: Path) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context()
    path = manager.slaves[0].output_path
    assert path is not None

    def empty() -> None:
        print("many words that are emptied")
        os.truncate(path, 0)
        fail("short")

    context.add_task(empty)
    context.add_task(fail, "next")
    first, second = context.get_results(on_error="return")
    assert isinstance(first, RemoteError)
    assert isinstance(second, RemoteError)
    assert second.output == "next\n"


def test_an_output_travels_with_its_error(manager: Manager) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context(max_attempts=1)
    context.add_task(fail, "words")
    context.add_task(speak_and_end)
    errors = list(context.get_results(on_error="return"))
    raised, lost = pickle.loads(pickle.dumps(errors))
    assert raised.output == "words\n"
    (attempt,) = lost.attempts
    assert isinstance(attempt, Attempt)
    assert attempt.output == "last words\n"

    with manager.get_executor() as executor:
        problem = executor.submit(fail, "a call").exception()
    assert isinstance(problem, ValueError)
    assert isinstance(problem.__cause__, RemoteError)
    assert problem.__cause__.output == "a call\n"

    stopped = manager.get_context(max_failures=1)
    stopped.add_task(fail, "one too many")
    with pytest.raises(TooManyFailuresError) as caught:
        list(stopped.get_results(on_error="return"))
    (failed,) = caught.value.errors
    assert isinstance(failed, RemoteError)
    assert failed.output == "one too many\n"


def test_a_saved_error_shows_the_output(manager: Manager, tmp_path: Path) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context()
    context.add_task(fail, "words")
    (error,) = context.get_results(on_error="return")
    assert isinstance(error, RemoteError)
    error.save(tmp_path / "error")
    command = [sys.executable, "-m", "imp_parallel_core", "rerun", str(tmp_path / "error")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "    | words\n" in done.stderr


def test_slaves_that_write_to_one_file_are_told_apart(tmp_path: Path) -> None:
    line = f"exec >'{tmp_path}/shared' 2>&1; {sys.executable}"

    def fail_slowly(number: int) -> None:
        for _ in range(50):
            print("task", number)
        raise ValueError

    with Manager(python=line) as manager:
        manager.add_slave(LocalSlave())
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        for number in range(40):
            context.add_task(fail_slowly, number)
        for number, error in enumerate(context.get_results(on_error="return")):
            assert isinstance(error, RemoteError)
            assert error.output == f"task {number}\n" * 50


def test_standard_output_and_error_that_lead_to_two_files_are_left_alone(tmp_path: Path) -> None:
    line = f"exec >>'{tmp_path}/out' 2>>'{tmp_path}/err'; {sys.executable}"
    with Manager(python=line) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context(max_attempts=1)
        context.add_task(fail, "words")
        context.add_task(lambda: os._exit(1))
        raised, lost = context.get_results(on_error="return")
        assert isinstance(raised, RemoteError)
        assert isinstance(lost, TaskLostError)
        assert raised.output == lost.attempts[0].output == ""
    assert (tmp_path / "out").read_text() == "words\n"


def test_a_whole_slave_that_is_lost_has_no_output_of_the_attempt(manager: Manager) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context(max_attempts=1)

    def end_the_slave() -> None:
        print("the slave ends")
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()

    context.add_task(end_the_slave)
    (lost,) = context.get_results(on_error="return")
    assert isinstance(lost, TaskLostError)
    (attempt,) = lost.attempts
    assert attempt.output == ""
    assert "the slave ends" in attempt  # the end of the slave's output is quoted
