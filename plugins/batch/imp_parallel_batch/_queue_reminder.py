"""Warnings that an array is still queued, and why: ever more seldom."""

from __future__ import annotations

from collections.abc import Callable

from imp_parallel_core import printable

from ._cluster import Cluster

_FIRST_S = 5.0
_GROWTH = 3.0
_LONGEST_S = 900.0


class QueueReminder:
    """Reminds the user of an array of which all slaves are queued.

    Args:
        cluster: where the job is.
        job: the job's number.
        count: how many slaves wait.
        since: from when on, in monotonic seconds.
    """

    def __init__(self, cluster: Cluster, job: str, count: int, since: float) -> None:
        self.reason = ""
        """Why the array waits, as the scheduler said for the last warning."""
        self._cluster = cluster
        self._job = job
        self._count = count
        self.begin(since)

    def begin(self, since: float) -> None:
        """Count from now on: the array may wait again, after some of its slaves have run.

        Args:
            since: the monotonic time, in seconds.
        """
        self._since = since
        self._pause_s = _FIRST_S
        self._due = since + _FIRST_S

    def remind(self, now: float, why: Callable[[], str]) -> None:
        """Warn if a warning is due; called whenever all slaves are seen to be queued.

        Args:
            now: the monotonic time.
            why: asks for the reason; called only for a warning.
        """
        if now < self._due:
            return
        self._pause_s = min(self._pause_s * _GROWTH, _LONGEST_S)
        self._due = now + self._pause_s
        self.reason = printable(why())
        hint = self._cluster.how_to_describe(self._job)
        self._cluster.logger.warning(
            "all %d slaves of job %s are still queued after %.0f s: %s",
            self._count,
            self._job,
            now - self._since,
            self.reason or f"the scheduler gives no reason ({hint} may)",
        )
