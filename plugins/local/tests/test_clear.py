"""A notebook's cell is run again: what the reading before has left is forgotten, or spoken of."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_local import LocalSlave
from test_ctrl_c import Interrupter, interrupted, places

from imp_parallel_core import (
    ClosedError,
    Context,
    Manager,
    RemoteError,
    UnreadResultsWarning,
)
from tests.support.harness import Processes
from tests.support.waiting import wait_until


def wait_for(gate: Path) -> str:
    """Return when a file is there."""
    wait_until(gate.exists, 30.0)
    return "waited"


def leave_a_mark(path: Path) -> str:
    path.touch()
    return "old"


@pytest.mark.parametrize("read", [Context.get_results, Context.get_results_unordered])
def test_what_waits_what_runs_and_what_has_come_is_forgotten(
    one_slave: Manager, tmp_path: Path, read: Callable[[Context], Any]
) -> None:
    context = one_slave.get_context()
    context.add_task(str, "has come")
    context.add_task(wait_for, tmp_path / "gate")
    for number in range(20):
        context.add_task(leave_a_mark, tmp_path / f"mark{number}")
    wait_until(lambda: one_slave.slaves[0].tasks_done == 1)
    wait_until(lambda: one_slave.slaves[0].state == "working")
    context.clear()
    context.add_task(str, "new")
    (tmp_path / "gate").touch()
    assert list(read(context)) == ["new"]
    assert not list(tmp_path.glob("mark*"))


def test_the_setup_stays_and_numbers_begin_again(one_slave: Manager, tmp_path: Path) -> None:
    def setup() -> str:
        with (tmp_path / "log").open("a") as log:
            log.write("set up\n")
        return "value"

    context = one_slave.get_context(setup)
    for _ in range(3):
        context.add_task(str)
    next(context.get_results())
    context.clear()
    context.add_task(str)
    context.add_task(int)
    value, error = context.get_results(on_error="return")
    assert value == "value"
    assert error.number == 1
    assert (tmp_path / "log").read_text() == "set up\n"


def test_a_loop_may_forget_the_rest_and_go_on_with_new_tasks(two_slaves: Manager) -> None:
    context = two_slaves.get_context()
    for number in range(10):
        context.add_task(int, number)
    seen = []
    for number in context.get_results():
        seen.append(number)
        if number == 4:
            context.clear()
            context.add_task(int, 100)
    assert seen == [0, 1, 2, 3, 4, 100]
    for number in range(10):
        context.add_task(int, number)
    for _ in context.get_results_unordered():
        context.clear()


def test_a_reader_that_waits_in_another_thread_does_not_get_what_was_forgotten(
    one_slave: Manager, tmp_path: Path
) -> None:
    context = one_slave.get_context()
    context.add_task(wait_for, tmp_path / "gate")
    found: list[list[str]] = []
    reader = threading.Thread(target=lambda: found.append(list(context.get_results())))
    reader.start()
    wait_until(lambda: one_slave.slaves[0].state == "working")
    context.clear()
    reader.join(30)
    assert found == [[]]
    (tmp_path / "gate").touch()


def test_forgotten_results_take_no_credit() -> None:
    with Manager(output=None, credit=5) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        for _ in range(4):
            for number in range(30):
                context.add_task(int, number)
            next(context.get_results())
            context.clear()
        for number in range(30):
            context.add_task(int, number)
        assert list(context.get_results()) == list(range(30))


def test_results_of_map_are_left_alone(one_slave: Manager) -> None:
    context = one_slave.get_context()
    mapped = context.map(int, range(5))
    assert next(mapped) == 0
    context.add_task(int, 100)
    context.clear()
    assert list(mapped) == [1, 2, 3, 4]
    assert list(context.get_results()) == []


def test_tasks_that_other_threads_add_meanwhile_are_forgotten_or_come(two_slaves: Manager) -> None:
    context = two_slaves.get_context()

    def add() -> None:
        for number in range(2000):
            context.add_task(int, number)

    adder = threading.Thread(target=add)
    adder.start()
    while adder.is_alive():
        context.clear()
        assert len(two_slaves.slaves) == 2  # (asked of the engine, which has cleared it by then)
    adder.join()
    results = list(context.get_results())
    assert results == list(range(2000))[2000 - len(results) :]


def test_an_interrupt_in_clear_clears_or_not_and_nothing_hangs(one_slave: Manager) -> None:
    def act(interrupter: Interrupter) -> None:
        context = one_slave.get_context()
        context.add_task(str, "old")
        struck = interrupted(interrupter, context.clear)
        context.add_task(str, "new")
        results = list(context.get_results())
        assert results == ["new"] or (struck and results == ["old", "new"])

    assert len(list(places(act))) > 10


def test_a_closed_context_can_not_be_cleared(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.close()
    with pytest.raises(ClosedError):
        context.clear()


def interrupt_reading(context: Context) -> None:
    """Be interrupted while waiting for a result, as by a Ctrl-C."""
    take = context._open.inbox.take

    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    context._open.inbox.take = interrupt  # type: ignore[method-assign]  # a signal's moment can't be chosen
    with pytest.raises(KeyboardInterrupt):
        list(context.get_results())
    context._open.inbox.take = take  # type: ignore[method-assign]


def test_adding_tasks_behind_an_interrupted_reading_warns_once(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(str, "old")
    interrupt_reading(context)
    with pytest.warns(UnreadResultsWarning, match="clear") as warned:
        context.add_task(str, "new")
    context.add_task(str, "newer")
    assert [warning.filename for warning in warned] == [__file__]
    assert list(context.get_results()) == ["old", "new", "newer"]


def test_after_clear_or_when_nothing_was_left_there_is_no_warning(one_slave: Manager) -> None:
    context = one_slave.get_context()
    interrupt_reading(context)
    context.add_task(str, "old")
    interrupt_reading(context)
    context.clear()
    context.add_task(str, "new")
    interrupt_reading(context)
    assert list(context.get_results()) == ["new"]
    context.add_task(str, "newer")
    assert list(context.get_results()) == ["newer"]


def test_adding_tasks_on_purpose_while_others_are_unread_does_not_warn(one_slave: Manager) -> None:
    context = one_slave.get_context()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(4):
            context.add_task(int, number)
        for number in context.get_results():  # from within the loop
            if number < 4:
                context.add_task(int, 10)
        for _ in range(10):
            context.add_task(int, 1)
        for _ in range(5):  # one out, one in
            next(context.get_results_unordered())
            context.add_task(int, 1)
        for _ in context.get_results_unordered():
            break
        context.add_task(int, "x")
        with pytest.raises(RemoteError):  # the script goes on from an error
            list(context.get_results_unordered())
        context.add_task(int, 1)
        assert list(context.get_results_unordered()) == [1]


def test_in_an_interactive_session_a_cell_that_failed_and_is_run_again_warns(
    processes: Processes,
) -> None:
    session = """\
from imp_parallel_core import Manager, LocalSlave
manager = Manager(output=None)
manager.add_slave(LocalSlave())
context = manager.get_context()
for number in range(3): context.add_task(int, number)

for number in context.get_results(): print("got", 1 / number)

for number in range(3): context.add_task(int, 10 + number)

context.clear()
for number in range(3): context.add_task(int, 10 + number)

for number in context.get_results(): print("got", number)

manager.close()
"""
    done = subprocess.run(
        [sys.executable, "-i"], input=session, capture_output=True, text=True, timeout=50
    )
    assert done.stderr.count("ZeroDivisionError") == 1
    assert done.stderr.count("UnreadResultsWarning") == 1
    got = [line for line in done.stdout.splitlines() if line.startswith("got")]
    assert got == ["got 10", "got 11", "got 12"]
