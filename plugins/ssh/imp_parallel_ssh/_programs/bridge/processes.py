"""Finds and ends processes on the host."""

from __future__ import annotations

import os
import sys

_PR_SET_CHILD_SUBREAPER = 36  # Linux


def kill(pid: int) -> None:
    """Kill a process, if it is still there."""
    try:
        os.kill(pid, 9)
    except OSError:
        pass


def kill_group(pid: int) -> None:
    """Kill a group of processes, if it is still there."""
    try:
        os.killpg(pid, 9)
    except OSError:
        pass


def reap(pid: int) -> None:
    """Take note of the end of a child, if it has ended."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass  # it is no child of this process, or not yet


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent is killed, so that they can be ended."""
    if sys.platform.startswith("linux"):
        try:
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        except (ImportError, OSError):
            pass  # some Pythons are built without: an orphan is init's then


def descendants(ancestor: int) -> list[int]:
    """Return the pids of all that a process has started, and what these have started."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if entry.isdecimal():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    pending = [ancestor]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found
