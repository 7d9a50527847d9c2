"""The launch of an array: submits it, asks for its states, and has it deleted (_array_end)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence

from imp_parallel_core import Bootstrap, LaunchPhase, LaunchState

from ._array_end import ArrayEnd
from ._cluster import PROBLEMS, Cluster, has_ended, reason_in
from ._documents import Documents
from ._leftovers import note_number, sweep
from ._queue_reminder import QueueReminder
from ._queue_watch import Snapshot, watch_of
from ._ranges import ranges_of
from ._records import BatchTask
from ._submission import Submission
from ._task_ends import TaskEnds

_INSISTING_S = 0.05  # polls that follow each other so closely ask about a slave that is ending
_FRESH_S = 1.0


class BatchLaunch:
    """One job array that is in the queue.

    Args:
        cluster: where it is.
        bootstraps: those of its slaves, by the numbers of its tasks.
        documents: the slaves' documents.
        submission: how it was submitted.
        job: its number.
    """

    def __init__(
        self,
        cluster: Cluster,
        bootstraps: Mapping[int, Bootstrap],
        documents: Documents,
        submission: Submission,
        job: str,
    ) -> None:
        self._cluster = cluster
        self._logger = cluster.logger
        self._bootstraps = bootstraps
        self._tasks = {bootstrap.index: number for number, bootstrap in bootstraps.items()}
        self._watch = watch_of(cluster.system, cluster.host)
        self._documents = documents
        self._submission = submission
        self.command: Sequence[str] = submission.argv
        self.job = job
        """The array's job, as the batch system calls it."""
        self._listed: dict[int, LaunchState] = {}  # as they were when they were listed last
        self._reasons: dict[int, str] = {}
        self._withdrawn: set[int] = set()
        self._parted: set[int] = set()  # their slaves have been connected, and are not
        self._polled_at = 0.0
        self.reminds_of_queue = False
        """Whether people are told here that all slaves wait, so that the core need not."""
        note_number(self._cluster, self._documents.folder, self.job)
        self._is_over = sweep(self._cluster, self._documents.folder)
        if submission.may_be_repeated:
            submission.repeats.watch(self.job, self._is_over)
        self._ends = TaskEnds(
            self._cluster, self.job, submission.name, self._documents.token, self._documents
        )
        self._end = ArrayEnd(self._cluster, self._watch, self._documents, self.job)
        self._submitted_at = time.monotonic()
        count = len(bootstraps)
        self._options = tuple(submission.options)
        self._reminder = QueueReminder(
            self._watch.waiting, self._cluster, self.job, count, self._submitted_at
        )
        self._watch.expect_change()
        self._logger.info("job %s: %d slaves submitted", self.job, len(bootstraps))

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave, as of a moment ago."""
        now = time.monotonic()
        is_urgent = now - self._polled_at < _INSISTING_S
        snapshot = self._watch.look(_FRESH_S if is_urgent else None)
        self._polled_at = time.monotonic()
        tasks = self._end.tasks_in(snapshot)
        self._note_ends(snapshot)
        self._explain_errors(tasks)
        known = {*tasks, *self._ends.states, *self._withdrawn}
        missing = [number for number in self._bootstraps if number not in known]
        if missing and snapshot.taken_at > self._submitted_at:
            self._ends.look_for(missing, snapshot.taken_at, has_others=bool(tasks))
        with contextlib.suppress(*PROBLEMS):  # it was said when it failed first
            self._restore_documents()
        phases = {task.phase for task in tasks.values()}
        are_queued = phases == {LaunchPhase.QUEUED} and tasks.keys() >= self._bootstraps.keys()
        self.reminds_of_queue = are_queued
        if are_queued:
            problem, listed = self._watch.problem, reason_in(tasks.values())
            # jobs with the same options usually wait for the same reason
            kind = "the list" if problem else listed or self._options
            listed = problem or listed
            self._reminder.remind(now, kind, lambda: listed or self._cluster.why_queued(self.job))
        elif phases - {LaunchPhase.QUEUED}:
            self._reminder.begin(now)
        return {
            bootstrap.index: self._state(number, tasks.get(number))
            for number, bootstrap in self._bootstraps.items()
        }

    def _note_ends(self, snapshot: Snapshot) -> None:
        """Take the ends of tasks that are listed although they have ended."""
        for number, task in snapshot.tasks_of(self.job).items():
            if number in self._bootstraps and has_ended(task):
                self._ends.is_over(number, task)

    def _state(self, number: int, task: BatchTask | None) -> LaunchState:
        if task is None:
            unknown = LaunchState(LaunchPhase.QUEUED, self._watch.problem or "submitted")
            return self._ends.states.get(number) or self._listed.get(number, unknown)
        self._ends.is_listed(number)
        reason = task.reason or self._known_reason(number, task)
        detail = f"{task.detail}: {reason}" if reason and task.detail else reason or task.detail
        state = LaunchState(task.phase, f"job {self.job} task {number}: {detail}")
        self._listed[number] = state
        return state

    def _known_reason(self, number: int, task: BatchTask) -> str:
        if task.phase is LaunchPhase.QUEUED:
            return self._reminder.reason
        return self._reasons.get(number, "") if task.phase is LaunchPhase.ENDED else ""

    def _explain_errors(self, tasks: Mapping[int, BatchTask]) -> None:
        failed = [n for n, t in tasks.items() if t.phase is LaunchPhase.ENDED and not t.reason]
        if any(number not in self._reasons for number in failed):
            unknown = f"for the reason: {self._cluster.how_to_describe(self.job)}"
            self._reasons.update(dict.fromkeys(failed, unknown))
            self._reasons.update(self._cluster.error_reasons(self.job))

    def log_tail(self, index: int) -> str:
        """Return the end of the output of a slave, and of its job before that."""
        number = self._tasks[index]
        return self._documents.tail(number, self._bootstraps[number])

    def withdraw(self, indices: Collection[int]) -> None:
        """Delete tasks that wait and are not needed; slaves that start meanwhile leave."""
        numbers = sorted(self._tasks[index] for index in indices)
        self._withdrawn.update(numbers)
        self._documents.forget(numbers)
        self._end.delete(list(ranges_of(numbers)))
        self._watch.expect_change()
        text = "job %s: %d tasks that were not needed are deleted"
        self._logger.info(text, self.job, len(numbers))

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Keep the documents of those slaves alone that may have to connect.

        The batch system may start a task anew if the connection of its slave has broken.
        """
        self._parted.difference_update(self._tasks[index] for index in connected)
        self._parted.update(self._tasks[index] for index in parted)
        self._documents.forget(self._tasks[index] for index in connected)
        if connected:
            self._reminder.begin(time.monotonic())
        self._restore_documents()

    def _restore_documents(self) -> None:
        self._documents.restore(self._parted - self._ends.states.keys() - self._withdrawn)

    def cancel(self, grace_s: float) -> None:
        """End the array. Raises LaunchError if a job may be left."""
        self._is_over.set()
        self._reminder.begin(time.monotonic())  # it waits no more
        self._ends.close()
        try:
            self._end.end(grace_s)
        finally:
            if self._submission.may_be_repeated:
                self._submission.repeats.delete_all(self.job)
