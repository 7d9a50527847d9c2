"""Whether a runner and its descendants hold more memory than they may.

On Linux only: elsewhere there is no ``/proc`` to read, and no limit is seen to.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence

from .._light_typing import NamedTuple
from .output import say

_CAN_LOOK = sys.platform.startswith("linux")
_NEVER = float("inf")
_GROWTH = 4e9  # bytes in a second: a process hardly takes more
_SHORTEST_S, _LONGEST_S = 0.01, 0.5  # between two looks
_PAUSE_FACTOR = 10  # a look takes no more than a tenth of the supervisor's time …
_ASK_S = 2.0  # … and hardly ever more than this at once
_WITHOUT_LIMIT_S = 0.05  # until the next look, if the item that runs has no limit
_DOUBTS = 5  # looks in a row at processes that begin and end meanwhile, before one counts


class Usage(NamedTuple):
    """How much memory processes hold together."""

    total_bytes: int
    processes: int
    is_certain: bool = True
    """Whether these were the processes all the time that it took to ask."""

    def described(self, limit_bytes: int) -> str:
        """Return in words how much a runner holds, and how much it may hold."""
        decimals = _decimals_that_differ(self.total_bytes, limit_bytes)
        others = self.processes - 1
        started = f" with {others} process{'es' if others > 1 else ''} that it has started"
        return (
            f"{self.total_bytes / 1e6:,.{decimals}f} MB of memory{started if others else ''}, "
            f"more than the {limit_bytes / 1e6:,.{decimals}f} MB"
        )


def _decimals_that_differ(first_bytes: int, second_bytes: int) -> int:
    """Return with how many decimals two different sizes differ when they are shown in MB."""
    return next(
        (n for n in range(6) if f"{first_bytes / 1e6:.{n}f}" != f"{second_bytes / 1e6:.{n}f}"), 6
    )


class MemoryWatch:
    """Decides when to look at the memory of a runner, and looks.

    Args:
        runner: the runner's pid.
    """

    def __init__(self, runner: int) -> None:
        self._runner = runner
        self._doubts = 0
        self._has_said = False
        self.look_at = _NEVER
        """When to look (monotonic s)."""
        self.exceeded = (0, 0)
        """The item that held too much, and how much (bytes)."""

    def begin(self, now: float) -> None:
        """The runner has something to do that has a limit."""
        if self.look_at != _NEVER:
            return
        if _CAN_LOOK:
            self.look_at = now + _SHORTEST_S
        elif not self._has_said:
            self._has_said = True
            say("this system is not Linux: nobody sees to task_memory_bytes here")

    def end(self) -> None:
        """The runner has nothing to do."""
        self.look_at = _NEVER

    def look(self, item: int, limit_bytes: int, now: float) -> str:
        """Return why the runner has to be ended; empty if it has not.

        Args:
            item: the item that runs.
            limit_bytes: how much the runner may hold meanwhile, with its descendants; 0 for any.
            now: the time.
        """
        if not limit_bytes:
            self.look_at = now + _WITHOUT_LIMIT_S
            return ""
        others = descendants_of(os.getpid(), but=self._runner)  # those that it has left behind, too
        begun_at = time.monotonic()
        usage = usage_of([self._runner, *others], limit_bytes)
        taken_s = time.monotonic() - begun_at
        left_s = (limit_bytes - usage.total_bytes) / _GROWTH
        pause_s = max(_SHORTEST_S, min(left_s, _LONGEST_S), _PAUSE_FACTOR * taken_s)
        self.look_at = now + taken_s + pause_s
        if usage.total_bytes <= limit_bytes:
            self._doubts = 0
            return ""
        self._doubts += not usage.is_certain
        if not usage.is_certain and self._doubts < _DOUBTS:
            return ""
        self.end()
        self.exceeded = item, usage.total_bytes
        return (
            f"held {usage.described(limit_bytes)} that its context's task_memory_bytes allows, and "
            "was ended"
        )


def usage_of(pids: Sequence[int], limit_bytes: int) -> Usage:
    """Return how much memory processes hold together, exactly only if that is over a limit.

    Memory that several processes share, as after a fork, counts once: each has its share of it.
    """
    resident = _resident_bytes_of(pids)
    total_bytes = sum(resident.values())
    if total_bytes <= limit_bytes or len(resident) == 1:
        return Usage(total_bytes, len(resident))
    # The sum of the shares is never larger. But the system takes 20 ms or so for each gigabyte that
    # a process holds, and when one ends meanwhile, its shares become those of the others.
    total_bytes, end = 0, time.monotonic() + _ASK_S
    for pid in resident:
        total_bytes += _share_bytes(pid)
        if time.monotonic() > end:
            break  # the master waits for heartbeats: what is known has to do
    return Usage(total_bytes, len(resident), _resident_bytes_of(pids).keys() == resident.keys())


def _resident_bytes_of(pids: Iterable[int]) -> dict[int, int]:
    """Return how much memory processes hold, without those that have ended."""
    return {pid: resident for pid in pids if (resident := _resident_bytes(pid))}


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0  # it has ended


def _share_bytes(pid: int) -> int:
    """Return a process's share of the memory that it holds; all of it, if that can't be told."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        pass  # another user's, an old system, or it has ended
    return _resident_bytes(pid)


def descendants_of(pid: int, *, but: int = 0) -> list[int]:
    """Return the pids of all processes that descend from one, ``but`` excluded."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in _children_of(waiting.pop()):
            waiting.append(child)
            if child != but:
                found.append(child)
    return found


def _children_of(pid: int) -> list[int]:
    """Return the children that any thread of a process has."""
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                children += map(int, file.read().split())
    except OSError:
        pass  # it has ended
    return children
