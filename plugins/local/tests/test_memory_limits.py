"""A task that holds more memory than its context allows is ended, and nothing else suffers."""

from __future__ import annotations

import functools
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager, SetupError, TaskMemoryError
from tests.support.harness import Processes
from tests.support.rebuilt_run import RebuiltRun
from tests.support.runners import compute_for_ever
from tests.support.waiting import is_alive, wait_for_end

MB = 1_000_000
LIMIT = 200 * MB
TOO_MUCH = 500 * MB
LONG_S = 600.0  # nobody waits for that
# decimals are shown if what was held is that little more
ALLOWED = r"more than the 200(\.\d+)? MB that its context's task_memory_bytes allows"


def hold(size: int, duration_s: float = 0.3) -> int:
    """Hold memory."""
    held = bytearray(size)
    held[::4096] = bytes(len(held[::4096])).replace(b"\0", b"\1")
    time.sleep(duration_s)
    return len(held)


def hold_in_python() -> None:
    hold(TOO_MUCH, LONG_S)


def hold_in_c(folder: Path) -> None:
    """Hold memory while C code holds the interpreter lock, which it never gives back."""
    held = b"x" * TOO_MUCH
    compute_for_ever(folder / "runs")
    del held


def take_bit_by_bit() -> None:
    parts: list[bytearray] = []
    while len(parts) < 500:
        parts.append(bytearray(b"x") * MB)
    time.sleep(LONG_S)


def hold_in_a_child() -> int:
    code = f"held = b'x' * {TOO_MUCH}; import time; time.sleep({LONG_S})"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


def hold_in_a_daemon() -> int:
    """Hold memory in a process whose own parent ends at once."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            hold_in_python()
        os._exit(0)
    os.wait()
    time.sleep(LONG_S)
    return 0


def noted(run: Callable[[], Any], pids: Path) -> Any:
    """Run, after noting that it is tried here."""
    with pids.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return run()


@pytest.fixture
def run() -> RebuiltRun:
    """Return an observer."""
    return RebuiltRun()


@pytest.fixture
def manager(run: RebuiltRun, processes: Processes) -> Iterator[Manager]:
    """Yield a Manager with one slave that is observed."""
    with Manager(plugins=[run]) as made:
        made.add_slave(LocalSlave())
        yield made


@pytest.mark.parametrize(
    "take",
    [hold_in_python, hold_in_c, take_bit_by_bit, hold_in_a_child, hold_in_a_daemon],
)
def test_a_task_that_holds_too_much_is_ended_at_once_and_is_not_tried_again(
    manager: Manager, run: RebuiltRun, tmp_path: Path, take: Callable[..., Any]
) -> None:
    with manager:
        context = manager.get_context(task_memory_bytes=LIMIT, max_attempts=3)
        run_it = functools.partial(take, tmp_path) if take is hold_in_c else take
        context.add_task(noted, run_it, tmp_path / "pids")
        for number in range(20):
            context.add_task(int, number)
        error, *others = context.get_results(on_error="return")
        assert others == list(range(20))
        (slave,) = manager.slaves
    assert isinstance(error, TaskMemoryError)
    assert LIMIT < error.peak_memory_bytes < TOO_MUCH + 200 * MB
    assert error.limit_bytes == LIMIT
    assert (error.number, error.slave, error.host) == (0, "slave 0", os.uname().nodename)
    assert re.search(ALLOWED, str(error))
    assert take.__name__ in str(error)
    (pid,) = map(int, (tmp_path / "pids").read_text().split())
    assert slave.runner_pid != pid
    wait_for_end(pid, "the runner")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.peak_memory_bytes, str(copy)) == (error.peak_memory_bytes, str(error))
    run.check()
    done = run.done[1, 0]
    assert (done.outcome, done.attempt) == ("memory exceeded", 1)
    assert done.peak_memory_bytes == error.peak_memory_bytes
    assert {one.attempt for one in run.done.values()} == {1}
    (death,) = run.deaths
    assert (death.task, death.is_charged) == (0, True)


def test_processes_that_such_a_task_has_started_end_with_it(
    manager: Manager, tmp_path: Path
) -> None:
    def start_and_hold() -> None:
        child = subprocess.Popen(["sleep", "600"])
        (tmp_path / "pid").write_text(str(child.pid))
        hold_in_python()

    context = manager.get_context(task_memory_bytes=LIMIT)
    context.add_task(start_and_hold)
    with pytest.raises(TaskMemoryError, match="with 1 process that it has started"):
        next(context.get_results())
    wait_for_end(int((tmp_path / "pid").read_text()), "the child")


def test_the_setup_runs_again_after_such_a_task(manager: Manager, tmp_path: Path) -> None:
    def set_up() -> int:
        with (tmp_path / "setups").open("a") as file:
            file.write(".")
        return 7

    context = manager.get_context(set_up, task_memory_bytes=LIMIT)
    context.add_task(lambda seven: hold_in_python())
    context.add_task(lambda seven: seven)
    results = list(context.get_results(on_error="return"))
    assert isinstance(results[0], TaskMemoryError)
    assert results[1] == 7
    assert (tmp_path / "setups").read_text() == ".."


def test_tasks_within_the_limit_are_left_alone(manager: Manager) -> None:
    context = manager.get_context(task_memory_bytes=LIMIT)
    unlimited = manager.get_context()
    for _ in range(2):
        context.add_task(hold, 100 * MB)
    unlimited.add_task(hold, 300 * MB)
    assert list(context.get_results()) == [100 * MB] * 2
    assert list(unlimited.get_results()) == [300 * MB]


def test_memory_that_forked_processes_share_counts_once(manager: Manager) -> None:
    def fork_four() -> int:
        held = b"x" * (100 * MB)
        for _ in range(4):
            if os.fork() == 0:
                time.sleep(0.6)
                os._exit(0)
        for _ in range(4):
            os.wait()
        return len(held)

    context = manager.get_context(task_memory_bytes=LIMIT)
    context.add_task(fork_four)
    assert list(context.get_results()) == [100 * MB]


def test_a_setup_that_holds_too_much_fails_with_that_reason(manager: Manager) -> None:
    context = manager.get_context(hold_in_python, task_memory_bytes=LIMIT)
    context.add_task(int)
    with pytest.raises(SetupError, match=ALLOWED):
        next(context.get_results())


def test_a_slave_that_is_killed_while_a_limit_holds_is_charged_as_without_it(
    manager: Manager, tmp_path: Path
) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    context = manager.get_context(task_memory_bytes=LIMIT, max_attempts=2)
    context.add_task(noted, die, tmp_path / "pids")
    (error,) = context.get_results(on_error="return")
    assert "given up after 2 attempts" in str(error)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize(
    ("limit", "problem"),
    [(0, ValueError), (500, ValueError), (float("nan"), ValueError), ("2G", TypeError)],
)
def test_a_limit_is_a_number_of_bytes_that_python_fits_into(
    manager: Manager, limit: Any, problem: type[Exception]
) -> None:
    with pytest.raises(problem, match="task_memory_bytes"):
        manager.get_context(task_memory_bytes=limit)


def test_the_peak_of_each_longer_task_is_told_and_that_of_one_is_not_the_next_ones(
    manager: Manager, run: RebuiltRun
) -> None:
    def fail_with(size: int) -> None:
        hold(size)
        raise ValueError

    with manager:
        context = manager.get_context()
        context.add_task(int)
        context.add_task(hold, 200 * MB)
        context.add_task(time.sleep, 0.05)
        context.add_task(fail_with, 100 * MB)
        context.add_task(lambda: hold(50 * MB) * b"x")  # a large result
        list(context.get_results(on_error="return"))
    run.check()
    peaks = [run.done[1, task].peak_memory_bytes / MB for task in range(5)]
    assert peaks[0] == 0
    assert 200 <= peaks[1] < 300
    assert 5 < peaks[2] < 100
    assert 100 <= peaks[3] < 200
    assert 50 <= peaks[4] < 250
