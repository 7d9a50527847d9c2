"""Warnings that arrays are still queued, and why: of all that are alike, ever more seldom."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from imp_parallel_core import explained, printable
from imp_parallel_core.reminder import SharedReminder

from ._cluster import Cluster

_FIRST_S = 5.0
_GROWTH = 3.0
_LONGEST_S = 900.0
_NAMED = 3  # jobs, of many that are told of at once

Waiting = SharedReminder["QueueReminder"]


def waiting() -> Waiting:
    """Return what the arrays in a queue share."""
    return Waiting(_FIRST_S, _GROWTH, _LONGEST_S)


class QueueReminder:
    """Reminds the user of an array of which all slaves are queued, and of others with it.

    Args:
        shared: what the arrays in this queue share.
        cluster: where the job is.
        job: the job's number.
        count: how many slaves wait.
        since: from when on, in monotonic seconds.
    """

    def __init__(
        self, shared: Waiting, cluster: Cluster, job: str, count: int, since: float
    ) -> None:
        self.reason = ""
        """Why the array waits, as the scheduler said for the last warning."""
        self._shared = shared
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
        self._shared.forget(self)

    def remind(self, now: float, kind: Hashable, why: Callable[[], str]) -> None:
        """Warn if a warning is due; called whenever all slaves are seen to be queued.

        Args:
            now: the monotonic time.
            kind: the same for arrays that wait for the same reason.
            why: asks for the reason; called only for a warning.
        """
        alike = self._shared.remind(self, kind, self._since, now)
        if not alike:
            return
        reason = printable(why())
        hint = self._cluster.how_to_describe(self._job)
        for reminder in alike:
            reminder.reason = reason
        jobs = [reminder._job for reminder in alike]
        named = f"job {self._job}"
        if len(jobs) > 1:
            more = f" and {len(jobs) - _NAMED} more" if len(jobs) > _NAMED else ""
            named = f"{len(jobs)} jobs ({', '.join(jobs[:_NAMED])}{more})"
        count, waited_s = sum(reminder._count for reminder in alike), max(alike.values())
        reason = reason or f"the scheduler gives no reason ({hint} may)"
        logger = self._cluster.logger
        who = f"all {count} slaves of {named} are" if count > 1 else f"the slave of {named} is"
        text = f"{who} still queued after {waited_s:.0f} s: {reason}"
        logger.warning("%s", explained(text, "still-queued", once=True))
