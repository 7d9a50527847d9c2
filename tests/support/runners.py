"""Checks that a runner is the same however it began, for slaves of any kind."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import re
import resource
import signal
import sys
from pathlib import Path

from imp_parallel_core import CancelledError, Manager, Slave, TaskMemoryError
from tests.support.waiting import is_alive, wait_until


def surroundings() -> dict[str, object]:
    """Return what a task finds around it, but for what is different each time."""
    ends = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the folder itself
            target = re.sub("[0-9]+", "", str(path.readlink()))
            ends[path.name] = (target, os.get_inheritable(int(path.name)))
    return {
        "descriptors": ends,
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "name": Path("/proc/self/comm").read_text(),
        "out of memory": Path("/proc/self/oom_score_adj").read_text(),
        "session": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "limits": [resource.getrlimit(limit) for limit in range(15)],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        # (in the C locale, Python has its children find another instead of being in this mode)
        "flags": str(sys.flags).replace("utf8_mode=1", "utf8_mode=0"),
        "options": (sys.warnoptions, dict(sys._xoptions), sys.argv, sys.path),
        "encodings": (sys.getfilesystemencoding(), sys.stdout.encoding, sys.stderr.encoding),
        "collects": gc.isenabled(),
        "buffers": [stream.line_buffering for stream in (sys.stdout, sys.stderr)],
        "traces": sys.gettrace(),
        "main": sorted(name for name in vars(sys.modules["__main__"]) if name.startswith("__")),
    }


def check_that_a_runner_is_like_the_one_before(manager: Manager, slave: Slave) -> None:
    manager.add_slave(slave)
    context = manager.get_context()

    def look() -> dict[str, object]:
        context.add_task(surroundings)
        found: dict[str, object]
        (found,) = context.get_results()
        return found

    first = look()
    runner = manager.slaves[0].runner_pid
    assert runner is not None
    os.kill(runner, signal.SIGKILL)
    wait_until(lambda: manager.slaves[0].runner_pid not in (None, runner))
    second = look()
    different = {what: (was, second[what]) for what, was in first.items() if was != second[what]}
    assert not different, different
    assert first["name"] == "imp-runner\n"


def check_that_what_a_task_registers_for_the_end_is_done(
    manager: Manager, slave: Slave, folder: Path
) -> None:
    def register() -> int:
        atexit.register((folder / "end").write_text, str(os.getpid()))
        return os.getpid()

    manager.add_slave(slave)
    context = manager.get_context()
    context.add_task(register)
    (pid,) = context.get_results()
    manager.close()
    assert (folder / "end").read_text() == str(pid)


def compute_for_ever(mark: Path) -> int:
    """Say that this runs; then never return, nor let another thread of the process run."""
    mark.touch()
    return sum(range(10**18))  # C code, which looks for no signal


def check_that_a_task_is_ended_that_never_returns(
    manager: Manager, slave: Slave, folder: Path
) -> None:
    """Cancel a task that holds the interpreter's lock, with others behind it."""
    manager.add_slave(slave)
    context = manager.get_context(lambda: (os.getpid(),), max_attempts=1)
    context.add_task(lambda pid: pid)
    (first,) = context.get_results()
    stuck = context.add_task(lambda pid: compute_for_ever(folder / "mark"))
    numbers = [context.add_task(lambda pid: pid) for _ in range(20)]
    wait_until((folder / "mark").exists, 30.0)
    name, runner = manager.slaves[0].name, manager.slaves[0].runner_pid
    assert runner == first
    assert context.cancel(stuck) == "ended"
    wait_until(
        lambda: not is_alive(first), 5.0, "the end of the process"
    )  # 10 ms on an idle machine
    results = dict(context.get_results_unordered(on_error="return", numbered=True))
    assert type(results.pop(stuck)) is CancelledError
    assert results.keys() == set(numbers)
    (second,) = set(results.values())
    assert second != first, "the set-up has not been run again in the new process"
    assert [slave.name for slave in manager.slaves] == [name]


def check_that_a_task_that_holds_too_much_memory_is_ended(
    manager: Manager, slave: Slave, folder: Path
) -> None:
    """Have a slave run such a task, in C code that holds the interpreter lock, and then another."""

    def hold(pid: int) -> None:
        held = b"x" * 500_000_000
        compute_for_ever(folder / "mark")
        del held

    manager.add_slave(slave)
    context = manager.get_context(os.getpid, task_memory_bytes=200e6)
    context.add_task(hold)
    context.add_task(lambda pid: pid == os.getpid())
    error, is_set_up_again = context.get_results(on_error="return")
    assert isinstance(error, TaskMemoryError)
    assert 200e6 < error.peak_memory_bytes < 700e6
    assert is_set_up_again is True
