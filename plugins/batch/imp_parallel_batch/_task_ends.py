"""How tasks ended that are in the queue no more. This is concluded late, and from what is certain.

The batch system may answer from a cache, forget a job for a while, or list a part of the tasks
only, as a user's or site's default options have it. The accounting may hold the records of an older
job that had the same number, and of runs that were not a task's last.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence

from imp_parallel_core import LaunchPhase, LaunchState

from ._cluster import UNKNOWN, Cluster
from ._documents import Documents
from ._records import BatchEnd, BatchTask

_MISSING_S = 3.0  # for how long a task may be out of sight before it counts as ended
_FORGOTTEN_S = 60.0  # likewise, if its whole job is
_SILENCE_S = 5.0  # after this, people are told of a job that is out of sight
_LONGEST_PAUSE_S = 30.0  # between two questions for tasks that stay out of sight
_PAUSE_GROWTH = 1.5
_CLOCKS_S = 86400.0  # by so much the clocks of two hosts, or their zones, may differ
_KILLED = 128  # an exit code beyond this is a signal's
_UNEXPLAINED = "it may have been deleted, or a profile ended its shell before its script began"


class TaskEnds:
    """The ends of the tasks of one array.

    Args:
        cluster: whom to ask.
        job: the array's number.
        name: its name, …
        mark: … which holds this, unless the user has given it another.
        documents: the folder in which each task's script leaves its exit code.
    """

    def __init__(
        self, cluster: Cluster, job: str, name: str, mark: str, documents: Documents
    ) -> None:
        self.states: dict[int, LaunchState] = {}
        """Of the tasks that have ended, by number."""
        self._cluster = cluster
        self._job = job
        self._name = name
        self._mark = mark
        self._documents = documents
        self._submitted_at = time.time()
        self._missing_since: dict[int, float] = {}
        self._pause_s = _MISSING_S
        self._asks_at = 0.0
        self._is_told = False  # that the job is not listed
        self._timer: threading.Timer | None = None

    def is_listed(self, number: int) -> None:
        """Take note that a task is listed; one that had ended has been started anew."""
        self._missing_since.pop(number, None)
        self.states.pop(number, None)

    def is_over(self, number: int, task: BatchTask) -> None:
        """Take note that a task is listed that has ended."""
        if number not in self.states and not self._take_exit_code(number):
            detail = f"job {self._job} task {number}: {task.detail}"
            self.states[number] = LaunchState(LaunchPhase.ENDED, detail, task.exit_code)

    def look_for(self, missing: Sequence[int], since: float, *, has_others: bool) -> None:
        """Find out which of the tasks that are not listed have ended, and how.

        Args:
            missing: their numbers.
            since: when the list was asked for, in monotonic seconds.
            has_others: whether it has other tasks of the array.
        """
        now = time.monotonic()
        unknown = [number for number in missing if not self._take_exit_code(number)]
        is_new = not self._missing_since.keys() >= set(unknown)
        for number in unknown:
            self._missing_since.setdefault(number, since)
        if unknown and not has_others:
            self._tell_soon()
        if is_new:
            self._pause_s = _MISSING_S
        elif now < self._asks_at:
            return
        else:
            self._pause_s = min(self._pause_s * _PAUSE_GROWTH, _LONGEST_PAUSE_S)
        if unknown:
            self._ask(unknown, now, has_others=has_others)
            self._asks_at = now + self._pause_s

    def close(self) -> None:
        """Tell people nothing more."""
        self._is_told = True
        if self._timer is not None:
            self._timer.cancel()

    def _tell_soon(self) -> None:
        """Tell people of a job that is not listed, also if nobody asks for its tasks meanwhile."""
        if self._is_told or (self._timer is not None and self._timer.is_alive()):
            return
        self._timer = threading.Timer(_SILENCE_S, self._tell)
        self._timer.daemon = True
        with contextlib.suppress(RuntimeError):  # the interpreter ends
            self._timer.start()

    def _tell(self) -> None:
        """Tell them, unless the job is there, or its tasks' ends are known."""
        try:
            is_there = bool(self._cluster.describe(self._job))
        except UNKNOWN:
            return  # that is told elsewhere
        known = set(self._missing_since) - set(self.states)  # copies: this is another thread
        if is_there or self._is_told or not known:
            return
        self._is_told = True
        self._cluster.logger.warning(
            "job %s is not listed by %s: unless something else is found out, its slaves count as "
            "ended after %.0f s. Was it deleted?",
            self._job,
            self._cluster.list_program,
            _FORGOTTEN_S,
        )

    def _take_exit_code(self, number: int) -> bool:
        code = self._documents.exit_code(number)
        if code is not None:
            self.states[number] = LaunchState(LaunchPhase.ENDED, exit_code=code)
        return code is not None

    def _ask(self, unknown: Sequence[int], now: float, *, has_others: bool) -> None:
        """Ask for the job alone, and then the accounting.

        Args:
            unknown: the tasks.
            now: the time.
            has_others: whether other tasks of the array are listed.
        """
        try:
            there = self._cluster.describe(self._job)
        except UNKNOWN:
            self._warn(unknown, now, is_known=False)
            return
        if there and not has_others:
            self._warn(unknown, now, is_known=True)
            return
        running = {number for each in there for number in each.running}
        unknown = [number for number in unknown if number not in running]
        accounts = self._cluster.how_ended(self._job, self._is_ours) if unknown else {}
        patience_s = _MISSING_S if has_others else _FORGOTTEN_S
        for number in unknown:
            if number in accounts:
                self._end(f"job {self._job} task {number}", number, _in_words(accounts[number]))
            elif now - self._missing_since[number] >= patience_s:
                what = f"job {self._job} task {number}" if has_others else f"job {self._job}"
                self._end(what, number, _UNEXPLAINED)  # one text for all slaves is shown once

    def _end(self, what: str, number: int, how: str) -> None:
        detail = f"{what} has gone from the queue: {how}"
        self.states[number] = LaunchState(LaunchPhase.ENDED, detail)

    def _is_ours(self, account: BatchEnd) -> bool:
        if account.job_name is None or self._mark in account.job_name:
            return True
        submitted_at = account.submitted_at
        is_old = submitted_at is not None and submitted_at < self._submitted_at - _CLOCKS_S
        return account.job_name == self._name and not is_old

    def _warn(self, unknown: Sequence[int], now: float, *, is_known: bool) -> None:
        late = [n for n in unknown if now - self._missing_since[n] >= _FORGOTTEN_S]
        if not late:
            return
        self._missing_since.update(dict.fromkeys(late, now))  # and again
        hint = self._cluster.how_to_describe(self._job)
        self._cluster.logger.warning(
            "%s has not listed tasks of job %s for %.0f s, %s; it is waited for",
            self._cluster.list_program,
            self._job,
            _FORGOTTEN_S,
            f"but {hint} knows it" if is_known else f"nor does {hint} answer",
        )


def _in_words(account: BatchEnd) -> str:
    """Return an end in words; for a task whose script has not said by itself that it ended."""
    if account.words:
        return f"exit code {account.exit_code}; {account.words}"
    if account.exit_code >= _KILLED:
        return f"exit code {account.exit_code}"
    return (
        f"exit code {account.exit_code}, before its script had begun. Does a profile "
        "(/etc/profile, ~/.bash_profile, ~/.profile) end the shell, by exit or exec? It may do "
        "so only where $- holds an i."
    )
