"""print(manager) and print(context) say how far a run is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import ClosedError, Context, Manager, TooManyFailuresError
from imp_parallel_core._engine import vain_waits
from tests.support.harness import RunScript
from tests.support.waiting import wait_until


def setup() -> None:
    """Do nothing: the context has this function's name."""


def await_file(path: Path) -> None:
    """End when a file is there."""
    while not path.exists():
        time.sleep(0.005)


def await_text(context: Context, text: str) -> None:
    """Wait until a context is shown so."""
    wait_until(lambda: repr(context) == text, what=text)


def test_a_manager_says_what_its_slaves_are_at(manager: Manager, tmp_path: Path) -> None:
    assert str(manager) == "<Manager of 0 slaves>"
    assert str(manager.slaves) == "no slaves"
    manager.add_slave(LocalSlave())
    wait_until(lambda: repr(manager) == "<Manager of 1 slave: 1 idle>")
    manager.add_slave(LocalSlave())
    wait_until(lambda: repr(manager) == "<Manager of 2 slaves: 2 idle>")
    context = manager.get_context()
    context.add_task(await_file, tmp_path / "gate")
    wait_until(lambda: repr(manager) == "<Manager of 2 slaves: 1 working, 1 idle>")
    assert "working" in str(manager.slaves)
    (tmp_path / "gate").touch()
    list(context.get_results())
    manager.close()
    assert repr(manager) == "<Manager, closed>"


def test_a_context_says_how_many_tasks_are_done_have_failed_and_run(
    two_slaves: Manager, tmp_path: Path
) -> None:
    context = two_slaves.get_context(setup)
    assert repr(context) == "<Context setup: no tasks>"
    for number in range(3):
        context.add_task(int, str(number))
    context.add_task(int, "x")
    list(context.get_results(on_error="return"))
    assert repr(context) == "<Context setup: 4 of 4 done, 1 failed>"
    for _ in range(5):
        context.add_task(await_file, tmp_path / "gate")
    await_text(context, "<Context setup: 4 of 9 done, 1 failed, 2 running>")
    context.clear()
    await_text(context, "<Context setup: 4 of 4 done, 1 failed>")
    (tmp_path / "gate").touch()
    context.add_task(os.getpid)
    list(context.get_results())
    assert repr(context) == "<Context setup: 5 of 5 done, 1 failed>"
    assert list(context.map(str, range(3))) == ["0", "1", "2"]
    await_text(context, "<Context setup: 8 of 8 done, 1 failed>")
    context.close()
    assert repr(context) == "<Context setup, closed>"


def test_a_context_whose_rest_was_ended_does_not_call_that_done(
    one_slave: Manager,
) -> None:
    context = one_slave.get_context(max_failures=1, name="many")
    for text in ("x", *"123456789"):
        context.add_task(int, text)
    with pytest.raises(TooManyFailuresError):
        list(context.get_results(on_error="return"))
    done = int(repr(context).split()[2])
    assert done < 10
    assert repr(context).startswith(f"<Context many: {done} of 10 done, 1 failed")


def test_a_name_can_not_steer_a_terminal(one_slave: Manager) -> None:
    assert repr(one_slave.get_context(name="a\x1b[31m")) == r"<Context a\x1b[31m: no tasks>"


def test_the_slaves_of_a_closed_manager_have_gone_and_are_shown_as_they_were(
    two_slaves: Manager,
) -> None:
    context = two_slaves.get_context()
    context.add_task(os.getpid)
    list(context.get_results())
    context.add_task(time.sleep, 600)
    wait_until(lambda: "working" in str(two_slaves.slaves))
    before = two_slaves.slaves
    two_slaves.close()
    after = two_slaves.slaves
    assert [(slave.state, slave.task, slave.runner_pid) for slave in after] == [
        ("gone", None, None)
    ] * 2
    assert [(slave.pid, slave.tasks_done) for slave in after] == [
        (slave.pid, slave.tasks_done) for slave in before
    ]
    shown = after._repr_html_()  # type: ignore[attr-defined]  # notebooks look for it
    for text in (str(after), shown):
        assert text.count("its Manager has been closed") == 2
        assert text.count("slave 1") == 1


def test_a_manager_that_had_no_slaves_is_shown_after_its_end(manager: Manager) -> None:
    manager.close()
    assert (repr(manager), str(manager.slaves)) == ("<Manager, closed>", "no slaves")


def test_a_forked_child_is_told_whose_manager_it_is(one_slave: Manager, tmp_path: Path) -> None:
    context = one_slave.get_context(name="scores")
    context.add_task(os.getpid)
    list(context.get_results())
    said = tmp_path / "said"
    pid = os.fork()
    if not pid:
        try:
            said.write_text(f"{one_slave!r} {context!r}")
            try:
                str(one_slave.slaves)
            except ClosedError as problem:
                said.write_text(f"{said.read_text()} {problem}")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert said.read_text() == (
        "<Manager, of another process> <Context scores, of another process> "
        "this Manager belongs to the process that made it; a forked child needs its own\n"
        "More: imp-parallel explain already-closed"
    )
    assert repr(context) == "<Context scores: 1 of 1 done>"


def test_a_manager_that_could_not_be_made_has_a_repr() -> None:
    assert repr(Manager.__new__(Manager)) == "<Manager, not made yet>"


SLOW_START = """
import logging
from imp_parallel_core import Manager, ResultTimeoutError
from imp_parallel_core._engine import vain_waits
from imp_parallel_local import LocalSlave

vain_waits._FIRST_S = 1.5  # the test need not take 10 s
with Manager(python="sleep 600; exec python3") as manager:
    manager.add_slave(LocalSlave())
    context = manager.get_context()
    context.add_task(int)
    try:
        list(context.get_results(timeout_s=4))
    except ResultTimeoutError:
        pass
"""


def test_a_script_without_any_logging_is_told_that_no_slave_works(start_script: RunScript) -> None:
    script = start_script(SLOW_START)
    _, said = script.communicate(timeout=50)
    assert "no slave has worked yet, and results have been waited for" in said
    assert "1 starting" in said
    assert script.returncode == 0


def test_a_slave_that_works_is_no_reason_to_say_that_none_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(vain_waits, "_FIRST_S", 0.5)
    with Manager(output=str(tmp_path / "slave%d.output")) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(time.sleep, 3)
        list(context.get_results())
    assert "no slave has worked yet" not in caplog.text
