"""Whether a check leaves anything behind: processes of this machine, warnings, output files."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from .steps import Status, Step

if TYPE_CHECKING:
    from .._fleet.info import SlaveInfo

_NAME = "gone"
_OF_WAITING = re.compile(r"^still ending after | still \w+ after | has not connected")
_OF_THE_END = re.compile(r"^could not end | may still be there ")
_AFTER_ALL = re.compile(r"^(job \S+ )is deleted after all$")
_STARTED_AT = 19  # the field of /proc/PID/stat behind the command's name


def is_of_the_end(message: str) -> bool:
    """Whether a warning says that something may be left, at whatever time it comes."""
    return bool(_OF_THE_END.search(message) or _AFTER_ALL.match(message))


class Leftovers:
    """Looks at slaves while they are there, and for what is left of them afterwards."""

    def __init__(self) -> None:
        self.is_ending = False
        self._host = socket.gethostname()
        self._processes: dict[int, str] = {}  # of this machine: when each was started
        self._outputs: dict[str, None] = {}
        self._said: list[str] = []
        self._began_at = 0.0

    def note(self, infos: Sequence[SlaveInfo]) -> None:
        """Look at the slaves."""
        for info in infos:
            if info.output_path:
                self._outputs[info.output_path] = None
            for pid in (info.pid, info.runner_pid):
                if pid is not None and info.host == self._host and pid not in self._processes:
                    started_at = _started_at(pid)
                    if started_at:  # else it is in another container of that name, say
                        self._processes[pid] = started_at

    def begin_end(self) -> None:
        """The slaves are about to be ended."""
        self.is_ending = True
        self._began_at = time.monotonic()

    def hear(self, message: str) -> None:
        """Take a warning that came while they were ended, or that something may be left.

        One may come late that they are waited for, and the core's of launches that have not come to
        their end comes before :meth:`wait_for` knows more.
        """
        after_all = _AFTER_ALL.match(message)
        if after_all:
            self._said = [each for each in self._said if after_all[1] not in each]
        elif not _OF_WAITING.search(message):
            self._said.append(message)

    def wait_for(
        self, launch: threading.Thread | None, tell: Callable[[Step], None], limit_s: float
    ) -> None:
        """Wait for the end of the launch longer than a script would: it may say what is left.

        Args:
            launch: its thread.
            tell: is told that this takes long.
            limit_s: for how long to wait; 0 for not at all.
        """
        if launch is None or not launch.is_alive():
            return
        if limit_s:
            text = f"its launch takes long to end, and is given {limit_s:g} s for its last words"
            tell(Step("waits", Status.NEWS, text))
            launch.join(limit_s)
        if launch.is_alive():
            waited_s = time.monotonic() - self._began_at
            self._said.append(f"{launch.name} has not come to its end for {waited_s:.0f} s")

    def step(self, *, removes_output: bool) -> Step:
        """Return what has become of the slaves, which have been ended.

        Args:
            removes_output: whether nobody needs what the slaves have printed.
        """
        took_s = time.monotonic() - self._began_at
        left = [str(pid) for pid, at in self._processes.items() if _started_at(pid) == at]
        problems = list(self._said)
        if left:
            problems.append(f"these processes of this machine are left: {', '.join(left)}")
        if problems:
            return Step(_NAME, Status.FAILED, "\n".join(problems))
        kept = [path for path in self._outputs if _is_there(path)]
        text = f"all has ended within {took_s:.2g} s"
        if self._processes:
            text += ", and no process of it is left"
        if removes_output:
            for path in kept:
                with suppress(OSError):
                    os.unlink(path)
        elif kept:
            text += f"; what the slaves have printed is in {', '.join(kept)}"
        return Step(_NAME, Status.OK, text, facts={"took_s": took_s})


def _started_at(pid: int) -> str:
    """Return when a process was started, in the system's own terms; "" if it is not there."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[_STARTED_AT]


def _is_there(path: str) -> bool:
    with suppress(OSError):
        return os.path.getsize(path) > 0
    return False
