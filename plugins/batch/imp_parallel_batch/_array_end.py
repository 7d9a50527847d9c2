"""The end of an array: its job is deleted, or people are told which job may be left.

The commands may hang, and the script may end before they answer. So each deletion runs in a thread
of its own, and people are told in time.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Mapping, Sequence

from imp_parallel_core import LaunchError, LaunchPhase, explained, printable

from ._cluster import UNKNOWN, Cluster, Deletion, has_ended
from ._documents import Documents
from ._plugin_calls import PluginFault
from ._queue_watch import QueueWatch, Snapshot
from ._ranges import ranges_of
from ._records import BatchTask

_DELETE_S = 3.0  # how long its deletion is waited for, after the grace: a script wants to end
_SILENCE_SHARE = 2 / 3  # of that: then people are told what does not answer
_LATE_SHARE = 1 / 6  # likewise: a deletion that was begun later than so long ago may still answer
_LOOK_S = 0.2  # how often, then
_RETRY_S = 2.0
_PATIENCE_S = 1.5


class ArrayEnd:
    """Deletes an array or some of its tasks, and never another job that has its number.

    Args:
        cluster: where the job is.
        watch: of the queue.
        documents: of the slaves; the job is told by their token.
        job: the job's number.
    """

    def __init__(self, cluster: Cluster, watch: QueueWatch, documents: Documents, job: str) -> None:
        self._cluster = cluster
        self._watch = watch
        self._documents = documents
        self._job = job
        self._is_certain = False  # that the number is this run's job's: it may be misread

    def tasks_in(self, snapshot: Snapshot) -> Mapping[int, BatchTask]:
        """Return the array's tasks that are in the queue, and learn whether it is this run's."""
        listed = snapshot.tasks_of(self._job)
        if any(self._documents.token in task.mark for task in listed.values()):
            self._is_certain = True
        return {number: task for number, task in listed.items() if not has_ended(task)}

    def delete(self, ranges: Sequence[range]) -> None:
        """Delete tasks. A deletion that takes long goes on in its thread."""
        _Attempt(self, ranges).result(_PATIENCE_S)

    def delete_now(self, ranges: Sequence[range] = ()) -> Deletion:
        """Delete tasks, or the whole array, and wait for the answer."""
        if not self._is_certain:
            try:
                is_another = self._cluster.is_another(self._job, self._documents.token)
            except PluginFault:
                is_another = False  # nobody will ever know: what submitted() said must do
            except UNKNOWN as problem:
                why = f"since it is not known whose job that is: {problem}"
                return Deletion(failure=f"{self._program} was not run, {why}")
            if is_another:
                hint = self._cluster.how_to_describe(name=self._documents.token)
                text = "job %s is not this run's, and is not deleted; is the one of %s?"
                self._cluster.logger.warning(text, self._job, hint)
                return Deletion(is_gone=True)
            self._is_certain = True
        return self._cluster.delete(self._job, ranges)

    def end(self, grace_s: float) -> None:
        """Delete tasks that wait, let slaves that run leave, delete those that do not leave.

        The list may be old, or lack the job: it is deleted in any case.
        Raises LaunchError if a job may be left.
        """
        start = time.monotonic()
        due, last = start + grace_s, start + grace_s + _DELETE_S
        speaks_at, late_s = due + _SILENCE_SHARE * _DELETE_S, _LATE_SHARE * _DELETE_S
        self._watch.expect_change()
        tasks = self._look(0.0, speaks_at)
        first = self._delete_those_that_do_not_run(tasks)
        attempt, deletion, begun_at = None, Deletion(), float("-inf")
        has_spoken = False
        while not deletion.is_gone:
            tasks = self._look(_LOOK_S, speaks_at)
            is_listed = bool(tasks or self._watch.problem)
            if deletion.is_accepted and not is_listed:
                break
            now = time.monotonic()
            pending = next((each for each in (first, attempt) if each and not each.is_done), None)
            is_late = pending is not None and now - pending.begun_at >= late_s
            if not has_spoken and now >= speaks_at and (is_late or self._watch.hangs):
                has_spoken = True
                self._tell_of_silence(pending, now)
            if now >= last and pending is None:
                self._give_up(tasks, deletion, has_spoken=has_spoken)
                return
            if pending is not None:
                pending.result(_LOOK_S)
            elif (now >= due or not is_listed) and now - begun_at >= _RETRY_S:
                attempt, begun_at = _Attempt(self), now
                attempt.result(_LOOK_S)
            else:
                time.sleep(_LOOK_S)
            deletion = (attempt and attempt.result(0.0)) or deletion
        if has_spoken:
            self._cluster.logger.warning("job %s is deleted after all", self._job)
        self._documents.remove()

    @property
    def _program(self) -> str:
        return next(iter(self._cluster.how_to_delete(self._job)), "its deletion")

    def _look(self, max_age_s: float, until: float) -> Mapping[int, BatchTask]:
        patience_s = min(max(until - time.monotonic(), _LOOK_S), _PATIENCE_S)
        return self.tasks_in(self._watch.look(max_age_s, patience_s))

    def _delete_those_that_do_not_run(self, tasks: Mapping[int, BatchTask]) -> _Attempt | None:
        numbers = sorted(n for n, task in tasks.items() if task.phase is not LaunchPhase.RUNNING)
        if not numbers:
            return None
        return _Attempt(self, () if len(numbers) == len(tasks) else list(ranges_of(numbers)))

    def _tell_of_silence(self, pending: _Attempt | None, now: float) -> None:
        """Say which job may be left, before a script that wants to end does so."""
        self._documents.forget()
        command = self._cluster.how_to_delete(self._job)
        if pending is not None:
            what = f"{self._program} has not come to its end for {now - pending.begun_at:.0f} s"
        else:
            what = self._watch.problem
        text = f"job {self._job} may still be there ({printable(what)}). {_advice(command)}"
        self._cluster.logger.warning("%s", explained(text, "job-left"))

    def _give_up(
        self, tasks: Mapping[int, BatchTask], deletion: Deletion, *, has_spoken: bool
    ) -> None:
        """Leave tasks that the batch system is deleting. Raises LaunchError for all others."""
        states = sorted({task.detail or task.phase.value for task in tasks.values()})
        text = self._watch.problem or ", ".join(states) or "it is not listed"
        is_being_deleted = all(task.is_ending for task in tasks.values())
        if deletion.is_accepted and not self._watch.problem and is_being_deleted:
            text = printable(text)
            self._cluster.logger.warning(
                "job %s is deleted, but takes its time (%s)", self._job, text
            )
            self._documents.remove()
            return
        self._documents.forget()
        if has_spoken and deletion.is_accepted:
            return  # it was said, and nothing else is known
        command = self._cluster.how_to_delete(self._job)
        said = f"{self._program} said {deletion.words!r}" if deletion.words else ""
        answer = deletion.failure or said or f"{self._program} was run, and said nothing"
        text = f"job {self._job} may still be there ({text}): {answer}. {_advice(command)}"
        raise LaunchError(
            explained(text, "job-left"),
            command=command,
            output=deletion.words,
        )


def _advice(command: Sequence[str]) -> str:
    return f"Delete it with: {shlex.join(command)}" if command else "Delete it by hand."


class _Attempt:
    """One deletion, in a thread of its own."""

    def __init__(self, end: ArrayEnd, ranges: Sequence[range] = ()) -> None:
        self.begun_at = time.monotonic()
        self._end = end
        self._ranges = ranges
        self._deletion = Deletion()
        self._done = threading.Event()
        thread = threading.Thread(target=self._run, name="imp_parallel deletion", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends, and starts no threads any more
            self._run()

    @property
    def is_done(self) -> bool:
        """Whether the answer is there."""
        return self._done.is_set()

    def result(self, patience_s: float) -> Deletion | None:
        """Return the answer; None if it does not come in time."""
        return self._deletion if self._done.wait(patience_s) else None

    def _run(self) -> None:
        try:
            self._deletion = self._end.delete_now(self._ranges)
        except Exception as problem:  # after a bug, too, nobody must wait for ever
            text = f"its deletion failed: {type(problem).__name__}: {problem}"
            self._deletion = Deletion(failure=text)
        finally:
            self._done.set()
