"""Whatever ends slaves on a system that runs functions, nothing is lost, left or shown."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imp_parallel_core import Manager, NoMoreSlavesError
from tests.support.harness import parent_of
from tests.support.scripts import Scripts
from tests.support.sent_suite.home import Home, noted_secrets, pids_of, shown_of, states
from tests.support.waiting import is_alive, wait_for_end, wait_until

__all__ = [
    "test_a_python_that_does_not_exist_is_an_error_that_names_it_and_shows_no_secret",
    "test_a_script_that_is_killed_leaves_nothing_there",
    "test_a_slave_whose_keeper_is_ended_ends_with_it_and_says_so",
    "test_no_command_line_no_environment_and_no_log_holds_a_slaves_secret",
]


@contextlib.contextmanager
def one_keeper_killed(home: Home, tmp_path: Path) -> Iterator[tuple[Manager, list[int]]]:
    """Have a task kill what keeps its slave; all tasks are done nevertheless.

    Yields the Manager, and the pids of its two slaves before; one of them has ended.
    """
    mark = tmp_path / "killed"

    def kill_the_keeper_once(number: int) -> int:
        if number == 5:
            try:
                mark.touch(exist_ok=False)
            except FileExistsError:
                return number
            os.kill(parent_of(os.getppid()), signal.SIGKILL)
            time.sleep(600)
        time.sleep(0.02)
        return number

    with Manager() as manager:
        manager.add_slave(home.array(2))
        wait_until(lambda: states(manager) == ["idle"] * 2, 60)
        before = pids_of(manager)
        context = manager.get_context()
        for number in range(20):
            context.add_task(kill_the_keeper_once, number)
        assert sorted(context.get_results_unordered()) == list(range(20))
        wait_until(lambda: sum(map(is_alive, before)) == 1)
        yield manager, before


def test_a_slave_whose_keeper_is_ended_ends_with_it_and_says_so(home: Home) -> None:
    def begin() -> None:
        Path("begun").touch()
        time.sleep(600)

    with Manager() as manager:
        manager.add_slave(home.array())
        wait_until(lambda: states(manager) == ["idle"], 60)
        (pid,) = pids_of(manager)
        context = manager.get_context()
        context.add_task(begin)
        wait_until(Path("begun").exists)
        home.end(pid)
        with pytest.raises(NoMoreSlavesError, match=home.said_of_end):
            list(context.get_results_unordered())
        wait_for_end(pid, "the slave whose keeper was ended")


def test_a_script_that_is_killed_leaves_nothing_there(home: Home, scripts: Scripts) -> None:
    home.wait_until_empty()
    script = scripts.start(
        f"""\
import os, time
from imp_parallel_core import Manager
{home.joins}
with Manager() as manager:
    manager.add_slave({home.array_there})
    context = manager.get_context()
    for _ in range(2):
        context.add_task(lambda: (time.sleep(0.5), os.getppid())[1])
    print(*context.get_results_unordered(), flush=True)
    context.add_task(time.sleep, 600)
    list(context.get_results_unordered())
"""
    )
    assert script.stdout is not None
    pids = [int(word) for word in script.stdout.readline().split()]
    assert len(pids) == 2, script.communicate()
    script.kill()
    for pid in pids:
        wait_for_end(pid, "a slave of a script that was killed")
    home.wait_until_empty()


def test_a_python_that_does_not_exist_is_an_error_that_names_it_and_shows_no_secret(
    home: Home,
) -> None:
    home.wait_until_empty()
    with noted_secrets() as secrets, Manager(python="/no/such/python") as manager:
        manager.add_slave(home.array(2))
        context = manager.get_context()
        context.add_task(os.getpid)
        with pytest.raises(NoMoreSlavesError, match=r"FileNotFoundError: .*'/no/such/python'"):
            list(context.get_results_unordered())
        said = home.said()
    assert said
    assert all(secrets)
    assert not any(secret in said for secret in secrets)
    home.wait_until_empty()


def test_no_command_line_no_environment_and_no_log_holds_a_slaves_secret(home: Home) -> None:
    with noted_secrets() as secrets, Manager() as manager:
        manager.add_slave(home.array())
        wait_until(lambda: states(manager) == ["idle"], 60)
        shown = shown_of(pids_of(manager))
        said = home.said()
    (secret,) = secrets
    assert secret
    assert shown
    assert said
    assert secret.encode() not in shown
    assert secret not in said
