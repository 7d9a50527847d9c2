"""The launch of an array: submits it, asks for its states, deletes it."""

from __future__ import annotations

import atexit
import contextlib
import shlex
import time
from collections.abc import Collection, Mapping, Sequence

from imp_parallel_core import Bootstrap, LaunchError, LaunchPhase, LaunchState

from ._array import BatchSlaveArray, options_of
from ._cluster import PROBLEMS, UNKNOWN, Cluster, Deletion, has_ended, reason_in
from ._documents import Documents
from ._job_script import parts_of, render
from ._leftovers import note_name, note_number, sweep
from ._queue_reminder import QueueReminder
from ._queue_watch import Snapshot, watch_of
from ._ranges import ranges_of
from ._reach import warn_if_only_here
from ._submission import Submission
from ._system import Array, BatchTask
from ._task_ends import TaskEnds

_DELETE_S = 3.0  # how long its deletion is waited for, after the grace: a script wants to end
_LOOK_S = 0.2  # how often, then
_RETRY_S = 2.0
_INSISTING_S = 0.05  # polls that follow each other so closely ask about a slave that is ending
_FRESH_S = 1.0


class BatchLaunch:
    """One job array. Its tasks are numbered in the order of the bootstraps.

    Raises LaunchError if it can't be submitted.
    """

    def __init__(self, array: BatchSlaveArray, bootstraps: Sequence[Bootstrap]) -> None:
        self._cluster = Cluster(array.system, array.host)
        self._logger = self._cluster.logger
        warn_if_only_here(array.system, bootstraps[0].addresses)
        self._bootstraps = dict(enumerate(bootstraps, array.system.first_task))
        self._tasks = {bootstrap.index: number for number, bootstrap in self._bootstraps.items()}
        self._watch = watch_of(array.system, array.host)
        self._documents = Documents(array.system, array.host, bootstraps[0].cwd, self._bootstraps)
        self._listed: dict[int, LaunchState] = {}  # as they were when they were listed last
        self._reasons: dict[int, str] = {}
        self._withdrawn: set[int] = set()
        self._parted: set[int] = set()  # their slaves have been connected, and are not
        self._polled_at = 0.0
        self._is_certain = False  # that the number is this run's job's: it may be misread
        atexit.register(self._documents.remove)  # the script may end while the submission hangs
        try:
            submission = self._submission(array, bootstraps)
            self.command: Sequence[str] = submission.argv
            self.job = submission.submit()
            """The array's job, as the batch system calls it."""
        except BaseException:
            self._documents.remove()
            raise
        finally:
            atexit.unregister(self._documents.remove)
        note_number(self._cluster, self._documents.folder, self.job)
        self._is_over = sweep(self._cluster, self._documents.folder)
        self._ends = TaskEnds(
            self._cluster, self.job, submission.name, self._documents.token, self._documents
        )
        self._submitted_at = time.monotonic()
        count = len(bootstraps)
        self._reminder = QueueReminder(self._cluster, self.job, count, self._submitted_at)
        self._watch.expect_change()
        self._logger.info("job %s: %d slaves submitted", self.job, len(bootstraps))

    def _submission(self, array: BatchSlaveArray, bootstraps: Sequence[Bootstrap]) -> Submission:
        """Return the submission of the array, and note its job's name beside the documents."""
        documents, options, cwd = self._documents, options_of(array), bootstraps[0].cwd
        parts = parts_of(bootstraps, documents.folder, options)
        described = Array(
            name=documents.token,
            size=max(len(bootstraps), array.system.least_tasks),
            options=options,
            script=render(array.system, parts),
            early_output=documents.early_output,
            folder=documents.folder,
            cwd=cwd if array.system.can_use(cwd) else "",
        )
        submission = Submission(self._cluster, described, cwd)
        note_name(self._cluster, documents.folder, submission.name)
        return submission

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave, as of a moment ago."""
        now = time.monotonic()
        is_urgent = now - self._polled_at < _INSISTING_S
        snapshot = self._watch.look(_FRESH_S if is_urgent else None)
        self._polled_at = time.monotonic()
        tasks = self._tasks_in(snapshot)
        self._note_ends(snapshot)
        self._explain_errors(tasks)
        known = {*tasks, *self._ends.states, *self._withdrawn}
        missing = [number for number in self._bootstraps if number not in known]
        if missing and snapshot.taken_at > self._submitted_at:
            self._ends.look_for(missing, snapshot.taken_at, has_others=bool(tasks))
        with contextlib.suppress(*PROBLEMS):  # it was said when it failed first
            self._restore_documents()
        phases = {task.phase for task in tasks.values()}
        if phases == {LaunchPhase.QUEUED} and tasks.keys() >= self._bootstraps.keys():
            self._reminder.remind(now, lambda: self._why_queued(tasks))
        return {
            bootstrap.index: self._state(number, tasks.get(number))
            for number, bootstrap in self._bootstraps.items()
        }

    def _tasks_in(self, snapshot: Snapshot) -> Mapping[int, BatchTask]:
        """Return the array's tasks that are in the queue, and learn whether it is this run's."""
        listed = snapshot.tasks_of(self.job)
        if any(self._documents.token in task.mark for task in listed.values()):
            self._is_certain = True
        return {number: task for number, task in listed.items() if not has_ended(task)}

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

    def _why_queued(self, tasks: Mapping[int, BatchTask]) -> str:
        reason = self._watch.problem or reason_in(tasks.values())
        return reason or self._cluster.why_queued(self.job)

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
        self._delete(list(ranges_of(numbers)))
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
        self._restore_documents()

    def _restore_documents(self) -> None:
        self._documents.restore(self._parted - self._ends.states.keys() - self._withdrawn)

    # ---- the end

    def cancel(self, grace_s: float) -> None:
        """Delete tasks that wait, let slaves that run leave, delete those that do not leave.

        The list may be old, or lack the job: it is deleted in any case.
        Raises LaunchError if a job may be left.
        """
        start = time.monotonic()
        self._is_over.set()
        self._watch.expect_change()
        tasks = self._look(0.0)
        if any(task.phase is not LaunchPhase.RUNNING for task in tasks.values()):
            self._delete_those_that_do_not_run(tasks)
        deletion, deleted_at = Deletion(), float("-inf")
        while not deletion.is_gone:
            tasks = self._look(_LOOK_S)
            is_listed = bool(tasks or self._watch.problem)
            if deletion.is_accepted and not is_listed:
                break
            now = time.monotonic()
            if now - start >= grace_s + _DELETE_S:
                self._give_up(tasks, deletion)
                return
            is_due = now - start >= grace_s or not is_listed
            if is_due and now - deleted_at >= _RETRY_S:
                deletion, deleted_at = self._delete(), now
            elif not deletion.is_gone:
                time.sleep(_LOOK_S)
        self._documents.remove()

    def _look(self, max_age_s: float) -> Mapping[int, BatchTask]:
        return self._tasks_in(self._watch.look(max_age_s))

    def _delete(self, ranges: Sequence[range] = ()) -> Deletion:
        """Delete the array or some of its tasks, and never another job that has its number."""
        if not self._is_certain:
            try:
                is_another = self._cluster.is_another(self.job, self._documents.token)
            except UNKNOWN as problem:
                return Deletion(str(problem))
            if is_another:
                hint = self._cluster.how_to_describe(name=self._documents.token)
                text = "job %s is not this run's, and is not deleted; is the one of %s?"
                self._logger.warning(text, self.job, hint)
                return Deletion(is_gone=True)
            self._is_certain = True
        return self._cluster.delete(self.job, ranges)

    def _delete_those_that_do_not_run(self, tasks: Mapping[int, BatchTask]) -> None:
        numbers = sorted(n for n, task in tasks.items() if task.phase is not LaunchPhase.RUNNING)
        self._delete(() if len(numbers) == len(tasks) else list(ranges_of(numbers)))

    def _give_up(self, tasks: Mapping[int, BatchTask], deletion: Deletion) -> None:
        """Leave tasks that the batch system is deleting. Raises LaunchError for all others."""
        states = sorted({task.detail or task.phase.value for task in tasks.values()})
        text = self._watch.problem or ", ".join(states) or "it is not listed"
        is_being_deleted = all(task.is_ending for task in tasks.values())
        if deletion.is_accepted and not self._watch.problem and is_being_deleted:
            self._logger.warning("job %s is deleted, but takes its time (%s)", self.job, text)
            self._documents.remove()
            return
        self._documents.forget()
        command = self._cluster.how_to_delete(self.job)
        raise LaunchError(
            f"job {self.job} may still be there ({text}): {command[0]} said {deletion.words!r}. "
            f"Delete it with: {shlex.join(command)}",
            command=command,
            output=deletion.words,
        )
