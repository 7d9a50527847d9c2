"""Deletes jobs by which an array is in the queue once more.

A submission that gets no answer in time may be carried out later all the same. If it has not been
when the array is looked for, the array is submitted again, and may come into the queue twice. The
tasks of both jobs would be the same slaves. So one job is kept, and any other one is deleted: when
it is seen, which is looked for ever more seldom, or at the end of the run.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import threading
import time
from collections.abc import Sequence

from ._cluster import UNKNOWN, Cluster

_FIRST_PAUSE_S = 2.0
_LAST_PAUSE_S = 300.0
_PAUSE_GROWTH = 1.5
_RETRY_S = 5.0
_GONE_S = 3.0
_LOOK_S = 0.2


class Repeats:
    """The jobs of one array beside the one that is kept.

    Args:
        cluster: where they are.
        name: their name.
        mark: what the batch system says of them, and of no other array's job.
    """

    def __init__(self, cluster: Cluster, name: str, mark: str) -> None:
        self._cluster = cluster
        self._name = name
        self._mark = mark
        self._deleted_at: dict[str, float] = {}

    def first_of(self, job: str) -> str:
        """Return the job to keep, when one has just come to be there; delete any other.

        The first is kept: its slaves may be at work.
        """
        try:
            others = self._others(job)
        except UNKNOWN:
            return job  # it is looked for again
        first = min(job, *others, key=_number_of) if others else job
        for other in {job, *others} - {first}:
            self._delete(other, first)
        return first

    def watch(self, kept: str, is_over: threading.Event) -> None:
        """Delete other jobs as they come to be there, in a thread, until an event is set."""

        def look() -> None:
            pause_s = _FIRST_PAUSE_S
            while not is_over.wait(pause_s):
                pause_s = min(pause_s * _PAUSE_GROWTH, _LAST_PAUSE_S)
                with contextlib.suppress(*UNKNOWN):  # it is asked again
                    for job in self._others(kept):
                        self._delete(job, kept)

        thread = threading.Thread(target=look, name="imp_parallel repeats", daemon=True)
        with contextlib.suppress(RuntimeError):  # the interpreter ends
            thread.start()

    def delete_all(self, kept: str) -> None:
        """Delete what is there at the end; tell people what may be left."""
        deadline = time.monotonic() + _GONE_S
        try:
            while others := self._others(kept):
                for job in others:
                    self._delete(job, kept)
                if time.monotonic() >= deadline:
                    commands = [shlex.join(self._cluster.how_to_delete(job)) for job in others]
                    text = "job %s may still be there. Delete it with: %s"
                    self._cluster.logger.warning(text, ", ".join(others), "; ".join(commands))
                    return
                time.sleep(_LOOK_S)
        except UNKNOWN as problem:
            self._cluster.logger.warning(
                "this array was submitted more than once, and whether another job %s is there "
                "could not be found out (%s): %s",
                *(self._name, problem, self._cluster.how_to_look(self._name)),
            )

    def _others(self, job: str) -> Sequence[str]:
        return [each for each in self._cluster.find_all(self._name, self._mark) if each != job]

    def _delete(self, job: str, kept: str) -> None:
        now = time.monotonic()
        if now - self._deleted_at.get(job, float("-inf")) < _RETRY_S:
            return
        if job not in self._deleted_at:
            text = "job %s is deleted: it is the same array as job %s, which was submitted again"
            self._cluster.logger.warning(text, job, kept)
        self._deleted_at[job] = now
        deletion = self._cluster.delete(job)
        if not (deletion.is_accepted or deletion.is_gone):
            why = deletion.failure or deletion.words
            self._cluster.logger.debug("job %s is not deleted yet: %s", job, why)


def _number_of(job: str) -> list[int]:
    """Return what jobs are ordered by: batch systems count them, and may add other words."""
    return [int(digits) for digits in re.findall(r"[0-9]+", job)]
