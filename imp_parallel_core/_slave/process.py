"""Calls of the operating system that Python's own modules don't offer. Some work on Linux only."""

from __future__ import annotations

import os
import signal
import sys
import time

from .._light_typing import NamedTuple, Protocol

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36
_MADV_WIPEONFORK = 18  # <sys/mman.h> of Linux
_REAP_S = 0.001
_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
_RUNNER_OOM_SCORE = 500  # of 1000: the system kills a runner rather than another process


def _prctl(option: int, argument: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    try:
        from _ctypes import call_function, dlopen, dlsym
    except ImportError:  # this Python is no CPython, or a later one
        import ctypes

        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)
    else:  # as ctypes does, without importing it: each start of a slave would wait twice for that
        library = dlopen(None, 0)  # type: ignore[arg-type]  # None: this process, as for CDLL
        call_function(dlsym(library, "prctl"), (option, argument, 0, 0, 0))


def name_this(name: str) -> None:
    """Give this process a name of up to 15 characters, as ``top`` and ``ps -o comm`` show it."""
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(name)
    except OSError:
        pass  # not Linux; only people look at the name


def die_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends, even while C code holds the interpreter lock.

    Args:
        parent: the parent's pid. If the parent has gone already, this process ends at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that this process can end them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def prefer_for_out_of_memory_kill() -> None:
    """Ask the system to kill this process first when memory runs out."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(_RUNNER_OOM_SCORE))
    except OSError:
        pass  # not Linux, or not allowed; nothing depends on this preference


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children; an empty list where the system can't tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


class OwnMemory(Protocol):
    """See :func:`own_memory`."""

    def __getitem__(self, index: int, /) -> int:
        """Return the element."""


def own_memory() -> OwnMemory:
    """Return a sequence whose first element is 1 in this process, and 0 in each fork of it.

    It can be looked at in a tenth of the time that the system takes to tell a pid.
    """
    try:
        from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

        memory = mmap(-1, 1, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        memory.madvise(_MADV_WIPEONFORK)
    except (ImportError, AttributeError, ValueError, OSError):  # not Linux, or an old one
        return _OwnPid()
    memory[0] = 1
    return memory


class _OwnPid:
    """Tells by the pid what :func:`own_memory` tells."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, index: int, /) -> int:
        return int(os.getpid() == self._pid)


class EndedChild(NamedTuple):
    """A child of this process that has ended and has been waited for."""

    pid: int
    status: int
    """The wait status; see :func:`describe_exit`."""
    peak_memory_bytes: int


def wait_for_ended_child() -> EndedChild | None:
    """Return a child that has ended; None if there is none."""
    try:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    if pid == 0:
        return None
    return EndedChild(pid, status, usage.ru_maxrss * _UNIT_BYTES)


def take_peak_bytes() -> int:
    """Return the most memory that this process has held since the last call.

    Where the system can't begin anew with its count, it is the most since the process began.
    """
    import resource  # the runner has it already

    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT_BYTES
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # see proc(5)
    except OSError:
        pass  # not Linux, or not allowed
    return peak_bytes


def kill_quietly(pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, signal_number)
    except (ProcessLookupError, PermissionError):
        pass


def kill_orphans(limit_s: float) -> None:
    """Kill all children, and then their children, which this process adopts; up to a time limit."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        orphans = children_of(os.getpid())
        if not orphans:
            return
        for pid in orphans:
            kill_quietly(pid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_REAP_S)


def describe_exit(status: int) -> str:
    """Return in words how a process ended, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
