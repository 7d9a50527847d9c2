"""An array that waits to be submitted, since the batch system can't be reached."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from imp_parallel_core import (
    Bootstrap,
    InformedLaunch,
    LaunchError,
    LaunchPhase,
    LaunchState,
    WithdrawingLaunch,
    explained,
    printable,
)
from imp_parallel_core.reminder import SharedReminder

from ._cluster import Cluster
from ._submission import OutOfReach, Submission

_FIRST_PAUSE_S = 1.0
_LAST_PAUSE_S = 15.0
_PAUSE_GROWTH = 1.5
_REMIND_S = 10.0
_KIND = "the batch system can't be reached"

Pending = SharedReminder["PendingLaunch"]


def pending_launches() -> Pending:
    """Return what the launches of a batch system share."""
    return Pending(_REMIND_S)


class _JobLaunch(InformedLaunch, WithdrawingLaunch, Protocol):
    """What is needed here of a BatchLaunch."""

    job: str
    reminds_of_queue: bool


class PendingLaunch:
    """A launch that submits again and again; when that has succeeded, it is a BatchLaunch.

    All slaves are queued, with the problem as the reason, until the array is there. They have ended
    when the array is refused for good, or when a slave would have had to be connected by now.

    Args:
        cluster: where to.
        submission: what to do again.
        bootstraps: one for each slave.
        problem: why the batch system was not reached.
        pending: what all such launches share, so that people are told of all in one line.
        launched: is called with the job's number, and returns the launch of the array that is
            there.
        give_up: is called instead if the array will not be there.
    """

    def __init__(
        self,
        cluster: Cluster,
        submission: Submission,
        bootstraps: Sequence[Bootstrap],
        problem: OutOfReach,
        pending: Pending,
        launched: Callable[[str], _JobLaunch],
        give_up: Callable[[], None],
    ) -> None:
        self.command: Sequence[str] = submission.argv
        self._logger = cluster.logger
        self._submission = submission
        self._indices = [bootstrap.index for bootstrap in bootstraps]
        self._limit_s = bootstraps[0].connect_timeout_s
        self._launched = launched
        self._give_up = give_up
        self._withdrawn: set[int] = set()
        self._problem = str(problem)
        self._launch: _JobLaunch | None = None
        self._has_ended = False
        self._is_over = threading.Event()
        self._lock = threading.Lock()  # while it submits, and while it is ended
        self._begun_at = time.monotonic()
        self._pending = pending
        is_known = pending.lasts(_KIND)
        pending.remind(self, _KIND, self._begun_at, self._begun_at)
        self._logger.log(
            logging.INFO if is_known else logging.WARNING,
            "%s",
            explained(
                f"{self._problem}\n    All {len(self._indices)} slaves wait until it can be "
                "reached: the array is submitted again and again, for "
                f"{self._limit_s:.0f} s at most (connect_timeout)",
                once=True,
            ),
        )
        thread = threading.Thread(target=self._go_on, name="imp_parallel submit again", daemon=True)
        thread.start()

    @property
    def job(self) -> str:
        """The array's job; "" if it is not there yet."""
        return self._launch.job if self._launch is not None else ""

    @property
    def reminds_of_queue(self) -> bool:
        """Whether people are told here that all slaves wait, so that the core need not."""
        return self._launch is None or self._launch.reminds_of_queue

    def _go_on(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._is_over.wait(pause_s):
            pause_s = min(pause_s * _PAUSE_GROWTH, _LAST_PAUSE_S)
            with self._lock:
                if not self._is_over.is_set():
                    self._try()

    def _try(self) -> None:
        """Submit it once more; note what has become of that."""
        try:
            job = self._submit_again()
            if job is not None:
                self._begin(job)
        except Exception as problem:  # after a bug, too, nobody must wait for ever
            is_known = isinstance(problem, LaunchError)
            self._end(str(problem) if is_known else f"{type(problem).__name__}: {problem}")

    def _begin(self, job: str) -> None:
        """Be the launch of the array that is there."""
        self._launch = self._launched(job)
        waited_s = time.monotonic() - self._begun_at
        self._logger.warning("job %s was submitted after %.0f s", job, waited_s)
        self._is_over.set()
        self._pending.forget(self)

    def _submit_again(self) -> str | None:
        """Submit it once more; return the job, or None if it is not there."""
        try:
            return self._submission.submit_again()
        except OutOfReach as problem:
            waited_s = time.monotonic() - self._begun_at
            if waited_s < self._limit_s:
                self._remind(str(problem))
                return None
            job = self._submission.look_once_more()
            if job is None:
                last = str(problem).partition("\n")[0]
                tried = f"It was tried for {waited_s:.0f} s (connect_timeout), at last: {last}"
                self._end(f"{self._problem}\n    {tried}")
            return job

    def _remind(self, problem: str) -> None:
        """Tell people that it still waits, if it is time to."""
        if alike := self._pending.remind(self, _KIND, self._begun_at, time.monotonic()):
            text = (
                f"{sum(len(launch._indices) for launch in alike)} slaves of {len(alike)} arrays "
                f"that can't be submitted still wait after {max(alike.values()):.0f} s: {problem}"
            )
            self._logger.warning("%s", explained(text, once=True))

    def _end(self, problem: str) -> None:
        self._is_over.set()
        self._pending.forget(self)
        self._problem = problem
        if self._launch is None:
            self._has_ended = True
            self._give_up()

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave."""
        if self._launch is not None:
            if self._withdrawn:  # since it was submitted, and before this was noticed
                self._launch.withdraw(self._withdrawn)
                self._withdrawn = set()
            return self._launch.poll()
        phase = LaunchPhase.ENDED if self._has_ended else LaunchPhase.QUEUED
        problem = self._problem
        detail = problem if self._has_ended else printable(problem.partition("\n")[0])
        return dict.fromkeys(self._indices, LaunchState(phase, detail))

    def withdraw(self, indices: Collection[int]) -> None:
        """Take slaves out of the queue as soon as they are in it; submit nothing for none."""
        if self._launch is None:
            self._withdrawn.update(indices)
            if self._withdrawn.issuperset(self._indices):
                self.cancel(0.0)
            return
        self._launch.withdraw(indices)

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Learn which slaves have connected, or lost their connection."""
        if self._launch is not None:
            self._launch.note_connections(connected, parted)

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output."""
        return self._launch.log_tail(index) if self._launch is not None else ""

    def cancel(self, grace_s: float) -> None:
        """End the array, or see that it does not come to be. Raises LaunchError."""
        self._is_over.set()
        with self._lock:
            if self._launch is None and not self._has_ended:
                if (job := self._submission.look_once_more()) is not None:
                    self._begin(job)
                else:
                    self._end("it was withdrawn")
        if self._launch is not None:
            self._launch.cancel(grace_s)
