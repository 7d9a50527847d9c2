"""The queue as it was a moment ago: one polite question for all arrays of this process."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import NamedTuple

from imp_parallel_core import CommandHost, Error

from ._cluster import Cluster, Jobs
from ._pending_launch import pending_launches
from ._queue_reminder import waiting
from ._records import BatchTask
from ._system import BatchSystem

_FIRST_PAUSE_S = 1.0
_LAST_PAUSE_S = 30.0
_PAUSE_GROWTH = 1.5
_SHARE = 5.0  # the pause before the next question is at least so many times the answer's time
_PATIENCE_S = 1.5  # how long an answer is waited for, before the last one is used instead
_REPORT_S = 600.0  # how often a failing question is complained about


class Snapshot(NamedTuple):
    """An answer of the batch system."""

    taken_at: float
    """When it was asked, in monotonic seconds; 0 for never."""
    jobs: Jobs

    def tasks_of(self, job: str) -> Mapping[int, BatchTask]:
        """Return the tasks of a job that are listed, by number."""
        return self.jobs.get(job, {})


class QueueWatch:
    """Asks for the queue, ever more seldom while nothing changes.

    Each question is asked in a thread of its own, so that nobody has to wait for one that hangs.

    Args:
        ask: returns the queue; raises an Exception when it can't be had.
        program: what ``ask`` runs, for messages.
        logger: of the batch system.
        clock: the monotonic time, in seconds.
    """

    def __init__(
        self,
        ask: Callable[[], Jobs],
        program: str,
        logger: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._program = program
        self._logger = logger
        self._clock = clock
        self._lock = threading.RLock()
        self._question: threading.Event | None = None  # set when its answer is there
        self._snapshot = Snapshot(0.0, {})
        self._problem = ""
        self._asked_at = float("-inf")
        self._pause_s = _FIRST_PAUSE_S
        self._reported_at = float("-inf")
        self.waiting = waiting()
        """What the arrays in the queue share that wait."""
        self.pending = pending_launches()
        """What the arrays share that can't be submitted yet."""

    @property
    def problem(self) -> str:
        """Why the last question has no answer; "" if it has one, or is not late yet."""
        if self.hangs:
            waited_s = self._clock() - self._asked_at
            return f"{self._program} has not answered for {waited_s:.0f} s"
        return self._problem

    @property
    def hangs(self) -> bool:
        """Whether an answer is late."""
        return self._question is not None and self._clock() - self._asked_at >= _PATIENCE_S

    def look(self, max_age_s: float | None = None, patience_s: float = _PATIENCE_S) -> Snapshot:
        """Return a snapshot; the last one if it is too early to ask again, or no answer came.

        Args:
            max_age_s: how old it may be; by default as old as the present pause. While an answer
                is on its way, nothing is asked again.
            patience_s: how long an answer may take.
        """
        with self._lock:
            pause_s = self._pause_s if max_age_s is None else max_age_s
            if self._question is None and self._clock() - self._asked_at >= pause_s:
                self._asked_at = self._clock()
                self._question = threading.Event()
                _start(self._refresh)
            question = self._question
        if question is not None:
            question.wait(max(0.0, self._asked_at + patience_s - self._clock()))
        return self._snapshot

    def expect_change(self) -> None:
        """Ask often again: something has been submitted, or will end."""
        with self._lock:
            self._pause_s = _FIRST_PAUSE_S

    def _refresh(self) -> None:
        """Ask, and note the answer."""
        asked_at = self._asked_at
        answer: Jobs | Exception
        try:
            answer = self._ask()
        except Exception as problem:  # after a bug, too, nobody must wait for ever
            answer = problem
        with self._lock:
            now = self._clock()
            if isinstance(answer, Exception):
                self._failed(_in_words(answer), now)
            else:
                self._answered(answer, asked_at)
            slowness_s = now - asked_at  # a slow one is asked less
            self._pause_s = max(self._pause_s, min(slowness_s * _SHARE, _LAST_PAUSE_S))
            self._asked_at = now
            question, self._question = self._question, None
        if question is not None:
            question.set()

    def _failed(self, problem: str, now: float) -> None:
        self._problem = problem
        if now - self._reported_at >= _REPORT_S:
            self._reported_at = now
            self._logger.warning("the queue can't be looked at, which is tried again: %s", problem)
        self._pause_s = min(self._pause_s * _PAUSE_GROWTH, _LAST_PAUSE_S)

    def _answered(self, jobs: Jobs, asked_at: float) -> None:
        self._problem = ""
        self._reported_at = float("-inf")
        is_same = jobs == self._snapshot.jobs
        grown_s = min(self._pause_s * _PAUSE_GROWTH, _LAST_PAUSE_S)
        self._pause_s = grown_s if is_same else _FIRST_PAUSE_S
        self._snapshot = Snapshot(asked_at, jobs)


def _in_words(problem: Exception) -> str:
    text = str(problem)
    if isinstance(problem, (OSError, ValueError, Error)) and text:
        return text
    return f"{type(problem).__name__}: {text}"


def _start(function: Callable[[], None]) -> None:
    try:
        threading.Thread(target=function, name="imp_parallel queue", daemon=True).start()
    except RuntimeError:  # the interpreter ends, and starts no threads any more
        function()


_Watches = weakref.WeakKeyDictionary[CommandHost, dict[str, QueueWatch]]
_watches: _Watches = weakref.WeakKeyDictionary()
_watches_lock = threading.Lock()


def watch_of(system: BatchSystem, host: CommandHost) -> QueueWatch:
    """Return the one watch that all arrays of a batch system on a host share."""
    with _watches_lock:
        watches = _watches.setdefault(host, {})
        if system.key not in watches:
            cluster = Cluster(system, weakref.proxy(host))
            watches[system.key] = QueueWatch(cluster.tasks, cluster.list_program, cluster.logger)
        return watches[system.key]
