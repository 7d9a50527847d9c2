"""An array in Grid Engine's hands: submitted, looked after, deleted."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence

from imp_parallel_core import Bootstrap, LaunchError, LaunchPhase, LaunchState

from ._documents import Documents, can_be_working_folder
from ._grid_engine import GridEngine
from ._job_script import parts_of, render
from ._qsub_array import SGEQsubSlaveArray
from ._queue_list import Task, ranges_of
from ._queue_watch import Snapshot, watch_of
from ._waiting import Waiting

_logger = logging.getLogger("imp_parallel.sge")

_MISSING_S = 3.0  # for how long a task may be out of sight before it counts as ended
_DELETE_S = 3.0  # how long its deletion is waited for, after the grace: a script wants to end
_LOOK_S = 0.2  # how often, then
_RETRY_S = 2.0
_INSISTING_S = 0.05  # polls that follow each other so closely ask about a slave that ends now
_FRESH_S = 1.0


class QsubLaunch:
    """One job array. Its tasks are numbered from 1, in the order of the bootstraps.

    Raises LaunchError if it can't be submitted.
    """

    def __init__(self, array: SGEQsubSlaveArray, bootstraps: Sequence[Bootstrap]) -> None:
        self._bootstraps = dict(enumerate(bootstraps, 1))
        self._tasks = {bootstrap.index: number for number, bootstrap in self._bootstraps.items()}
        self._grid_engine = GridEngine(array.host)
        self._watch = watch_of(array.host)
        self._documents = Documents(array.host, bootstraps)
        self._ended: dict[int, LaunchState] = {}
        self._missing_since: dict[int, float] = {}
        self._reasons: dict[int, str] = {}
        self._withdrawn: set[int] = set()
        self._polled_at = 0.0
        try:
            self.command, self.job = self._submit(array, bootstraps)
        except BaseException:
            self._documents.remove()
            raise
        self._submitted_at = time.monotonic()
        self._waiting = Waiting(self.job, len(bootstraps), self._submitted_at)
        self._watch.expect_change()
        _logger.info("job %d: %d slaves submitted", self.job, len(bootstraps))

    def _submit(
        self, array: SGEQsubSlaveArray, bootstraps: Sequence[Bootstrap]
    ) -> tuple[Sequence[str], int]:
        cwd = bootstraps[0].cwd
        is_plain = can_be_working_folder(cwd)
        documents = self._documents
        command = array.qsub_command(documents.early_output, in_working_folder=is_plain)
        script = render(parts_of(bootstraps, documents.folder, "" if is_plain else cwd))
        return command, self._grid_engine.submit(command, script, cwd)

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave, as of a moment ago."""
        now = time.monotonic()
        is_urgent = now - self._polled_at < _INSISTING_S
        snapshot = self._watch.look(_FRESH_S if is_urgent else None)
        self._polled_at = time.monotonic()
        tasks = snapshot.tasks_of(self.job)
        self._explain_errors(tasks)
        known = {*tasks, *self._ended, *self._withdrawn}
        missing = [number for number in self._bootstraps if number not in known]
        if missing and snapshot.taken_at > self._submitted_at:
            self._look_for_ends(missing, snapshot)
        phases = {task.phase() for task in tasks.values()}
        if phases == {LaunchPhase.QUEUED} and len(tasks) == len(self._bootstraps):
            self._waiting.goes_on(now, self._why_queued)
        return {
            bootstrap.index: self._state(number, tasks.get(number))
            for number, bootstrap in self._bootstraps.items()
        }

    def _state(self, number: int, task: Task | None) -> LaunchState:
        if task is None:
            unknown = LaunchState(LaunchPhase.QUEUED, self._watch.problem or "submitted")
            return self._ended.get(number, unknown)
        self._missing_since.pop(number, None)
        is_queued = task.phase() is LaunchPhase.QUEUED
        reason = self._waiting.reason if is_queued else self._reasons.get(number, "")
        state = task.launch_state(reason)
        return state._replace(detail=f"job {self.job} task {number}: {state.detail}")

    def _why_queued(self) -> str:
        return self._watch.problem or self._grid_engine.why_queued(self.job)

    def _explain_errors(self, tasks: Mapping[int, Task]) -> None:
        failed = [number for number, task in tasks.items() if task.phase() is LaunchPhase.ENDED]
        if any(number not in self._reasons for number in failed):
            unknown = f"for the reason: qstat -j {self.job}"
            self._reasons.update(dict.fromkeys(failed, unknown))
            self._reasons.update(self._grid_engine.error_reasons(self.job))

    def _look_for_ends(self, missing: Sequence[int], snapshot: Snapshot) -> None:
        """Find out how tasks ended that are in the queue no more."""
        now = time.monotonic()
        unknown = []
        for number in missing:
            code = self._documents.exit_code(number)
            if code is not None:
                self._ended[number] = LaunchState(LaunchPhase.ENDED, exit_code=code)
                continue
            is_new = number not in self._missing_since
            since = self._missing_since.setdefault(number, snapshot.taken_at)
            if is_new or now - since >= _MISSING_S:
                unknown.append(number)
        accounts = self._grid_engine.how_ended(self.job) if unknown else {}
        for number in unknown:
            if number in accounts:
                exit_code, failure = accounts[number]
                how = f"exit code {exit_code}" + (f"; failed {failure}" if failure else "")
            elif now - self._missing_since[number] >= _MISSING_S:
                how = "it may have been deleted"
            else:
                continue
            where = f"job {self.job} task {number} has gone from the queue"
            self._ended[number] = LaunchState(LaunchPhase.ENDED, f"{where}: {how}")

    def log_tail(self, index: int) -> str:
        """Return the end of what a slave, and its job before it, said."""
        number = self._tasks[index]
        return self._documents.tail(number, self._bootstraps[number])

    def withdraw(self, indices: Collection[int]) -> None:
        """Delete tasks that wait and are not needed; the few that start meanwhile leave."""
        numbers = sorted(self._tasks[index] for index in indices)
        self._withdrawn.update(numbers)
        self._documents.forget(numbers)
        for first, last in ranges_of(numbers):
            self._grid_engine.delete(self.job, f"{first}-{last}")
        self._watch.expect_change()
        _logger.info("job %d: %d tasks that were not needed are deleted", self.job, len(numbers))

    # ---- the end

    def cancel(self, grace_s: float) -> None:
        """Delete what waits, let the slaves that run leave, delete what does not.

        Raises LaunchError if something may be left.
        """
        start = time.monotonic()
        self._watch.expect_change()
        tasks = self._look(0.0)
        if any(task.phase() is not LaunchPhase.RUNNING for task in tasks.values()):
            self._delete(tasks, *(set(LaunchPhase) - {LaunchPhase.RUNNING}))
        words, deleted_at = "", float("-inf")
        while (tasks := self._look(_LOOK_S)) or self._watch.problem:
            now = time.monotonic()
            if now - start >= grace_s + _DELETE_S:
                self._give_up(tasks, words)
                return
            if now - start >= grace_s and now - deleted_at >= _RETRY_S:
                words, deleted_at = self._delete(tasks), now
            time.sleep(_LOOK_S)
        self._documents.remove()

    def _look(self, max_age_s: float) -> Mapping[int, Task]:
        return self._watch.look(max_age_s).tasks_of(self.job)

    def _delete(self, tasks: Mapping[int, Task], *phases: LaunchPhase) -> str:
        """Delete tasks of some phases, or the whole job; return what was said."""
        try:
            if not phases:
                return self._grid_engine.delete(self.job)
            numbers = [number for number, task in tasks.items() if task.phase() in phases]
            if len(numbers) == len(tasks):
                return self._grid_engine.delete(self.job)
            ranges = [f"{first}-{last}" for first, last in ranges_of(sorted(numbers))]
            return "\n".join(self._grid_engine.delete(self.job, each) for each in ranges)
        except OSError as problem:
            return str(problem)

    def _give_up(self, tasks: Mapping[int, Task], words: str) -> None:
        """Leave tasks whose end Grid Engine owes us. Raises LaunchError for all others."""
        states = sorted({f"{task.state} {task.queue}".strip() for task in tasks.values()})
        text = self._watch.problem or ", ".join(states)
        if tasks and not self._watch.problem and all("d" in t.state for t in tasks.values()):
            _logger.warning("job %d is deleted, but takes its time (%s)", self.job, text)
            self._documents.remove()
            return
        self._documents.forget()
        raise LaunchError(
            f"job {self.job} may still be there ({text}): qdel said {words!r}. Delete it with: "
            f"qdel {self.job}",
            command=["qdel", str(self.job)],
            output=words,
        )
