"""Asks the scripts of this user how their runs are: all at once, since one may not answer."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import folder as folders
from .call import ANSWER_S, Call

_OTHERS_S = 1.0
_NAMED = 5


class NoAnswer(folders.LiveError):
    """The scripts that can be seen do not answer now, and have not ended."""


class Answers(NamedTuple):
    """What has been answered.

    Attributes:
        runs: as they are, oldest first; one that does not answer now is as it was, if it ever did.
        silent: the processes that do not answer now, and have not ended.
    """

    runs: Sequence[dict[str, Any]]
    silent: Sequence[int]


class Scripts:
    """Asks again and again the scripts that can be seen.

    One that has been stopped delays the others once, by a second, and not when they are asked
    again.

    Args:
        folder: where the sockets are.
        pid: of the one script to ask; by default all are asked.

    Raises LiveError if somebody else's run is asked for.
    """

    def __init__(self, folder: Path, pid: int | None = None) -> None:
        if pid is not None and (owner := folders.owner_of_process(pid)):
            raise folders.LiveError(f"process {pid} is {owner}'s: only {owner} can see its run")
        self._folder = folder
        self._pid = pid
        self._calls: dict[Path, Call] = {}  # those whose answers have not been taken
        self._known: dict[Path, dict[str, Any]] = {}  # the last answer of each
        self._silent: set[Path] = set()
        self._ended: queue.SimpleQueue[Call] = queue.SimpleQueue()

    def ask(self, others_s: float = _OTHERS_S) -> Answers:
        """Return the runs as they are now.

        Args:
            others_s: once a script has answered, how long the others are waited for.

        Raises NoAnswer if none has ever answered, but some have not ended; LiveError if all use
        another version, or if the folder is not private.
        """
        self._begin()
        due = time.monotonic() + ANSWER_S
        while any(call.is_alive() and call.path not in self._silent for call in self._pending()):
            try:
                ended = self._ended.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                break
            ended.join()
            if ended.answer is not None:
                due = min(due, time.monotonic() + others_s)
        return self._take()

    def _pending(self) -> Sequence[Call]:
        return list(self._calls.values())

    def _begin(self) -> None:
        """Begin to ask those scripts that are not being asked."""
        try:
            paths = folders.sockets_in(self._folder)
        except FileNotFoundError:
            paths = []
        wanted = [p for p in paths if self._pid is None or p.name.startswith(f"{self._pid}-")]
        self._known = {path: run for path, run in self._known.items() if path in wanted}
        self._calls = {path: call for path, call in self._calls.items() if path in wanted}
        for path in wanted:
            if path not in self._calls:
                self._calls[path] = Call(path, self._ended.put)
                self._calls[path].start()

    def _take(self) -> Answers:
        """Take what has been answered so far."""
        problems: list[str] = []
        self._silent = set()
        for call in self._pending():
            if call.is_alive() or call.is_silent:
                self._silent.add(call.path)
            elif call.answer is not None:
                self._known[call.path] = call.answer
            else:
                self._known.pop(call.path, None)
                problems += [call.problem] if call.problem else []
            if not call.is_alive():
                del self._calls[call.path]
        silent = sorted({int(path.name.partition("-")[0]) for path in self._silent})
        if not self._known and silent:
            raise NoAnswer(silence(silent, f"within {ANSWER_S:g} s"))
        if not self._known and problems:
            raise folders.LiveError(problems[0])
        runs = sorted(self._known.values(), key=lambda run: run["began_wall_s"])
        return Answers(runs, silent)


def snapshots(folder: Path, pid: int | None = None) -> Sequence[dict[str, Any]]:
    """Return the runs as they are now, oldest first; those that do not answer are left out.

    Args:
        folder: where the sockets are.
        pid: of the one script to ask; by default all are asked.

    Raises as :class:`Scripts` does.
    """
    return Scripts(folder, pid).ask(ANSWER_S).runs


def silence(pids: Sequence[int], when: str) -> str:
    """Return a text about scripts that do not answer.

    Args:
        pids: their processes, at least one.
        when: ends the words "does not answer".
    """
    one = len(pids) == 1
    named = ", ".join(map(str, pids[:_NAMED])) + (" and others" if pids[_NAMED:] else "")
    who = f"process {named} does" if one else f"processes {named} do"
    what, where = ("it has", "code in it holds") if one else ("they have", "code in them holds")
    return (
        f"{who} not answer {when}: {what} been stopped (by Ctrl-Z, say), or {where} the "
        "interpreter lock"
    )
