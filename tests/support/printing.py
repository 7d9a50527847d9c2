"""What errors must tell of the output of attempts, on the slaves of any launcher."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from imp_parallel_core import (
    Manager,
    OutputLine,
    RemoteError,
    SetupError,
    Slave,
    TaskLostError,
    current_task,
)
from tests.support.waiting import wait_until


def print_by_c(text: bytes) -> None:
    """Print a text as C code does."""
    ctypes.CDLL(None).printf(b"%s", text)


def _speak(name: str) -> None:
    print(name, "begins")
    print_by_c(b"C speaks\n")
    subprocess.run(["echo", "a child speaks"], check=True)
    print(name, "complains", file=sys.stderr)


def _spoken(name: str) -> str:
    return f"{name} begins\nC speaks\na child speaks\n{name} complains\n"


def _end_the_runner() -> None:
    current = current_task()
    assert current is not None
    _speak(f"attempt {current.attempt}")
    ctypes.string_at(0)


def check_that_errors_hold_what_their_attempts_printed(manager: Manager) -> None:
    """Run tasks that print, one after the other on the only slave, and read their errors."""

    def succeed() -> None:
        _speak("a neighbour")
        print("a neighbour ends without a line's end", end="")
        print_by_c(b"so does its C code")

    def fail() -> None:
        _speak("it")
        print_by_c(b"the end of C")
        raise ValueError("it fails")

    def fail_in_silence() -> None:
        raise ValueError("it fails")

    def fail_after_much() -> None:
        for number in range(100_000):
            print("line", number)
        raise ValueError("it fails")

    def fail_after_rubbish() -> None:
        os.write(1, bytes(range(256)) * 40)
        raise ValueError("it fails")

    context = manager.get_context(max_attempts=2)
    tasks = (fail, fail_in_silence, fail_after_much, fail_after_rubbish, _end_the_runner)
    for task in tasks:
        context.add_task(succeed)
        context.add_task(task)
    _, spoke, _, silent, _, much, _, rubbish, _, lost = context.get_results(on_error="return")

    assert isinstance(spoke, RemoteError)
    assert spoke.output == _spoken("it") + "the end of C"
    assert str(spoke).endswith(
        "\n    | it complains\n    | the end of C\nMore: imp-parallel explain task-raised"
    )
    assert isinstance(silent, RemoteError)
    assert silent.output == ""
    assert str(silent).endswith("ValueError: it fails\nMore: imp-parallel explain task-raised")
    assert isinstance(much, RemoteError)
    lines = [f"line {number}" for number in range(100_000)]
    count = much.output.count("\n")
    assert much.output == "\n".join([*lines[-count:], ""])
    assert 8192 - len("line 99999\n") <= len(much.output) <= 8192
    assert isinstance(rubbish, RemoteError)
    assert rubbish.output.replace("\n", "").replace("\t", "").isprintable()
    assert 0 < len(rubbish.output) <= 8192
    assert isinstance(lost, TaskLostError)
    outputs = [attempt.output for attempt in lost.attempts]
    assert outputs == [_spoken("attempt 1"), _spoken("attempt 2")]
    for attempt in lost.attempts:
        assert attempt.endswith(" complains")

    for end, is_lost in ((fail_in_silence, False), (lambda: ctypes.string_at(0), True)):
        error = _error_of_setup(manager, end)
        assert error.output == _spoken("the set-up")
        assert ("ended its runner" in str(error)) == is_lost


def _error_of_setup(manager: Manager, end: Callable[[], object]) -> SetupError:
    def setup() -> None:
        _speak("the set-up")
        end()

    context = manager.get_context(setup, max_attempts=1)
    context.add_task(print, "nothing")
    (error,) = context.get_results(on_error="return")
    assert isinstance(error, SetupError)
    return error


def check_that_what_a_slave_prints_comes_while_it_works(slave: Slave, folder: Path) -> None:
    """See to it that the script hears a task that has not ended."""
    gate = folder / "gate"

    def speak() -> None:
        print("hello")
        while not gate.exists():
            time.sleep(0.05)

    heard: list[OutputLine] = []
    with Manager(output=heard.append) as manager:
        manager.add_slave(slave)
        context = manager.get_context()
        context.add_task(speak)
        wait_until(lambda: (0, "hello") in [(line.task, line.text) for line in heard], 60.0)
        gate.touch()
        list(context.get_results())
