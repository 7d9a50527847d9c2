"""The launch of an array: submits it to Grid Engine, asks for its states, deletes it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import time
from collections.abc import Collection, Mapping, Sequence

from imp_parallel_core import Bootstrap, LaunchError, LaunchPhase, LaunchState

from ._documents import Documents, can_be_working_folder
from ._grid_engine import PROBLEMS, Deletion, GridEngine
from ._job_script import parts_of, render
from ._leftovers import note_name, note_number, sweep
from ._qsub_array import SGEQsubSlaveArray, options_of
from ._qsub_options import qsub_command
from ._queue_list import Task, ranges_of
from ._queue_reminder import QueueReminder
from ._queue_watch import Snapshot, watch_of
from ._reach import warn_if_only_here
from ._submission import Submission
from ._task_ends import TaskEnds

_logger = logging.getLogger("imp_parallel.sge")

_DELETE_S = 3.0  # how long its deletion is waited for, after the grace: a script wants to end
_LOOK_S = 0.2  # how often, then
_RETRY_S = 2.0
_INSISTING_S = 0.05  # polls that follow each other so closely ask about a slave that is ending
_FRESH_S = 1.0


class QsubLaunch:
    """One job array. Its tasks are numbered from 1, in the order of the bootstraps.

    Raises LaunchError if it can't be submitted.
    """

    def __init__(self, array: SGEQsubSlaveArray, bootstraps: Sequence[Bootstrap]) -> None:
        warn_if_only_here(bootstraps[0].addresses)
        self._bootstraps = dict(enumerate(bootstraps, 1))
        self._tasks = {bootstrap.index: number for number, bootstrap in self._bootstraps.items()}
        self._grid_engine = GridEngine(array.host)
        self._watch = watch_of(array.host)
        self._documents = Documents(array.host, bootstraps[0].cwd, self._bootstraps)
        self._listed: dict[int, LaunchState] = {}  # as they were when qstat listed them last
        self._reasons: dict[int, str] = {}
        self._withdrawn: set[int] = set()
        self._parted: set[int] = set()  # their slaves have been connected, and are not
        self._polled_at = 0.0
        self._is_certain = False  # that the number is this run's job's: it may be misread
        atexit.register(self._documents.remove)  # the script may end while qsub hangs
        try:
            self.command, self.job, name = self._submit(array, bootstraps)
        except BaseException:
            self._documents.remove()
            raise
        finally:
            atexit.unregister(self._documents.remove)
        note_number(array.host, self._documents.folder, self.job)
        self._is_over = sweep(array.host, self._documents.folder, self._grid_engine)
        token = self._documents.token
        self._ends = TaskEnds(self._grid_engine, self.job, name, token, self._documents)
        self._submitted_at = time.monotonic()
        self._reminder = QueueReminder(self.job, len(bootstraps), self._submitted_at)
        self._watch.expect_change()
        _logger.info("job %d: %d slaves submitted", self.job, len(bootstraps))

    def _submit(
        self, array: SGEQsubSlaveArray, bootstraps: Sequence[Bootstrap]
    ) -> tuple[Sequence[str], int, str]:
        """Submit the array; return the command line, the job's number and its name."""
        cwd, count = bootstraps[0].cwd, len(bootstraps)
        documents = self._documents
        command = qsub_command(
            options_of(array),
            count,
            early_output=documents.early_output,
            name=documents.token,
            in_working_folder=can_be_working_folder(cwd),
        )
        script = render(parts_of(bootstraps, documents.folder))
        mark = documents.token
        submission = Submission(self._grid_engine, command, script, cwd, count=count, mark=mark)
        note_name(array.host, documents.folder, submission.name)
        return command, submission.submit(), submission.name

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave, as of a moment ago."""
        now = time.monotonic()
        is_urgent = now - self._polled_at < _INSISTING_S
        snapshot = self._watch.look(_FRESH_S if is_urgent else None)
        self._polled_at = time.monotonic()
        tasks = self._tasks_in(snapshot)
        self._explain_errors(tasks)
        known = {*tasks, *self._ends.states, *self._withdrawn}
        missing = [number for number in self._bootstraps if number not in known]
        if missing and snapshot.taken_at > self._submitted_at:
            self._ends.look_for(missing, snapshot)
        with contextlib.suppress(*PROBLEMS):  # it was said when it failed first
            self._restore_documents()
        phases = {task.phase() for task in tasks.values()}
        if phases == {LaunchPhase.QUEUED} and len(tasks) == len(self._bootstraps):
            self._reminder.remind(now, self._why_queued)
        return {
            bootstrap.index: self._state(number, tasks.get(number))
            for number, bootstrap in self._bootstraps.items()
        }

    def _tasks_in(self, snapshot: Snapshot) -> Mapping[int, Task]:
        """Return the array's tasks that are in the queue, and learn whether it is this run's."""
        tasks = snapshot.tasks_of(self.job)
        if any(self._documents.token in task.job_name for task in tasks.values()):
            self._is_certain = True
        return tasks

    def _state(self, number: int, task: Task | None) -> LaunchState:
        if task is None:
            unknown = LaunchState(LaunchPhase.QUEUED, self._watch.problem or "submitted")
            return self._ends.states.get(number) or self._listed.get(number, unknown)
        self._ends.is_listed(number)
        is_queued = task.phase() is LaunchPhase.QUEUED
        reason = self._reminder.reason if is_queued else self._reasons.get(number, "")
        state = task.launch_state(reason)
        state = state._replace(detail=f"job {self.job} task {number}: {state.detail}")
        self._listed[number] = state
        return state

    def _why_queued(self) -> str:
        return self._watch.problem or self._grid_engine.why_queued(self.job)

    def _explain_errors(self, tasks: Mapping[int, Task]) -> None:
        failed = [number for number, task in tasks.items() if task.phase() is LaunchPhase.ENDED]
        if any(number not in self._reasons for number in failed):
            unknown = f"for the reason: qstat -j {self.job}"
            self._reasons.update(dict.fromkeys(failed, unknown))
            self._reasons.update(self._grid_engine.error_reasons(self.job))

    def log_tail(self, index: int) -> str:
        """Return the end of the output of a slave, and of its job before that."""
        number = self._tasks[index]
        return self._documents.tail(number, self._bootstraps[number])

    def withdraw(self, indices: Collection[int]) -> None:
        """Delete tasks that wait and are not needed; slaves that start meanwhile leave."""
        numbers = sorted(self._tasks[index] for index in indices)
        self._withdrawn.update(numbers)
        self._documents.forget(numbers)
        for first, last in ranges_of(numbers):
            self._delete(f"{first}-{last}")
        self._watch.expect_change()
        _logger.info("job %d: %d tasks that were not needed are deleted", self.job, len(numbers))

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Keep the documents of those slaves alone that may have to connect.

        Grid Engine may start a task anew if the connection of its slave has broken.
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

        The list of qstat may be old, or lack the job: qdel is called in any case.
        Raises LaunchError if a job may be left.
        """
        start = time.monotonic()
        self._is_over.set()
        self._watch.expect_change()
        tasks = self._look(0.0)
        if any(task.phase() is not LaunchPhase.RUNNING for task in tasks.values()):
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

    def _look(self, max_age_s: float) -> Mapping[int, Task]:
        return self._tasks_in(self._watch.look(max_age_s))

    def _delete(self, tasks: str = "") -> Deletion:
        """Delete the array or some of its tasks, and never another job that has its number."""
        if not self._is_certain:
            try:
                is_another = self._grid_engine.is_another(self.job, self._documents.token)
            except PROBLEMS as problem:
                return Deletion(str(problem))
            if is_another:
                token = self._documents.token
                text = "job %d is not this run's, and is not deleted; is the one of qstat -j %s?"
                _logger.warning(text, self.job, token)
                return Deletion(is_gone=True)
            self._is_certain = True
        return self._grid_engine.delete(self.job, tasks)

    def _delete_those_that_do_not_run(self, tasks: Mapping[int, Task]) -> None:
        numbers = sorted(n for n, task in tasks.items() if task.phase() is not LaunchPhase.RUNNING)
        if len(numbers) == len(tasks):
            self._delete()
            return
        for first, last in ranges_of(numbers):
            self._delete(f"{first}-{last}")

    def _give_up(self, tasks: Mapping[int, Task], deletion: Deletion) -> None:
        """Leave tasks that Grid Engine is deleting. Raises LaunchError for all others."""
        states = sorted({f"{task.state} {task.queue}".strip() for task in tasks.values()})
        text = self._watch.problem or ", ".join(states) or "qstat does not list it"
        is_being_deleted = all("d" in task.state for task in tasks.values())
        if deletion.is_accepted and not self._watch.problem and is_being_deleted:
            _logger.warning("job %d is deleted, but takes its time (%s)", self.job, text)
            self._documents.remove()
            return
        self._documents.forget()
        raise LaunchError(
            f"job {self.job} may still be there ({text}): qdel said {deletion.words!r}. Delete it "
            f"with: qdel {self.job}",
            command=["qdel", str(self.job)],
            output=deletion.words,
        )
