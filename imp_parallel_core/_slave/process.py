"""What a slave asks of the operating system beyond Python's own modules. Linux where it says so."""

from __future__ import annotations

import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36
_REAP_S = 0.001
_RUNNER_OOM_SCORE = 500  # of 1000: the system kills a runner rather than what else is there


def _prctl(option: int, argument: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    try:
        from _ctypes import call_function, dlopen, dlsym
    except ImportError:  # not CPython as it is now
        import ctypes

        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)
    else:  # what ctypes does, without its import: every start of a slave waits for it twice
        library = dlopen(None, 0)  # type: ignore[arg-type]  # what is loaded already, as for CDLL
        call_function(dlsym(library, "prctl"), (option, argument, 0, 0, 0))


def name_this(name: str) -> None:
    """Give this process a name of up to 15 characters, as ``top`` and ``ps -o comm`` show it."""
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(name)
    except OSError:
        pass  # not Linux: it is for people only


def die_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends, even while C code holds the interpreter lock.

    Args:
        parent: the parent's pid; if that has gone already, this process ends at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has died, so that they can be ended."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def prefer_for_out_of_memory_kill() -> None:
    """Ask the system to kill this process first when memory runs out."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(_RUNNER_OOM_SCORE))
    except OSError:
        pass  # not Linux, or not allowed: it is a preference only


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children; none where the system can't tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def kill_quietly(pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, signal_number)
    except (ProcessLookupError, PermissionError):
        pass


def kill_orphans(limit_s: float) -> None:
    """Kill all children, and whatever those leave, which becomes ours in turn; within a time."""
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
        time.sleep(_REAP_S)  # not longer for one that can't be killed


def describe_exit(status: int) -> str:
    """Say in words how a process ended, from its wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
