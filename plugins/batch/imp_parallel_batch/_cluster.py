"""The questions to a batch system as calls, each with a deadline."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from imp_parallel_core import CommandHost, CommandResult, Error, LaunchPhase

from ._plugin_calls import PluginFault, call, call_for, call_for_all
from ._records import BatchEnd, BatchTask, Command, Description
from ._system import BatchSystem, logger_of

Jobs = Mapping[str, Mapping[int, BatchTask]]
"""The tasks in a queue, by job and number."""

PROBLEMS = (OSError, Error)
"""What calls of a host raise: Error if it can't be reached at all."""

UNKNOWN = (*PROBLEMS, ValueError)
"""What questions raise: ValueError if the answer can't be read for certain."""

_ASK_S = 15.0
_DESCRIBE_S = 5.0  # the answer is a reason, which is not indispensable
_ACCOUNTING_S = 3.0  # it may read a whole file, which may hold years
FIND_S = 3.0
_MOST_RANGES = 100  # in one deletion: a command line has a limit


class Deletion(NamedTuple):
    """An answer to a deletion: its words, whether it deletes, and whether there is no such job.

    If the commands were not run to their end, ``failure`` says why.
    """

    words: str = ""
    is_accepted: bool = False
    is_gone: bool = False
    failure: str = ""


class Cluster:
    """The batch system that a host's commands talk to."""

    def __init__(self, system: BatchSystem, host: CommandHost) -> None:
        self.system = system
        self.host = host
        self.logger = logger_of(system)

    def tasks(self) -> Jobs:
        """Return all tasks of the user's jobs. Raises UNKNOWN."""
        command = call_for(Command, self.system.question)
        done = self.run(command, _ASK_S)
        try:
            return _jobs(call(self.system.tasks_in, done), self.system)
        except PluginFault:
            raise
        except ValueError as problem:
            raise ValueError(f"{command.program}: {problem}") from problem

    def describe(
        self, job: str = "", *, name: str = "", timeout_s: float = _DESCRIBE_S
    ) -> Sequence[Description]:
        """Return what there is of a job, or of the jobs of a name. Raises UNKNOWN.

        Args:
            job: its number; "" for the jobs of a name.
            name: the name.
            timeout_s: how long the answer may take.
        """
        command = call(self.system.description, job, name)
        if command is None:
            listed = self.tasks()
            jobs = [job] if job else listed
            found = [_description_of(each, listed.get(each, {})) for each in jobs]
            return [each for each in found if each is not None]
        done = self.run(command, timeout_s)
        try:
            described = call_for_all(self.system.descriptions_in, done, job or name)
        except PluginFault:
            raise
        except ValueError as problem:
            line = shlex.join(command.typed)
            raise ValueError(f"{line} does not answer: {problem}") from problem
        own = [each for each in described if job in ("", each.job)]
        if described and not own:
            raise ValueError(f"{shlex.join(command.typed)} describes another job")
        return own

    @property
    def list_program(self) -> str:
        """What messages call the command that lists the tasks."""
        try:
            return call(self.system.question).program
        except ValueError:
            return self.system.name

    def how_to_describe(self, job: str = "", name: str = "") -> str:
        """Return the command line that people may type to learn more of a job."""
        try:
            command = call(self.system.description, job, name) or call(self.system.question)
        except ValueError:
            return self.system.name
        return shlex.join(command.typed)

    def how_to_delete(self, job: str) -> Sequence[str]:
        """Return the command line that deletes a job; no words if the plugin fails to tell it."""
        try:
            return call_for_all(self.system.deletion, job, ())[0].typed
        except (ValueError, IndexError):
            return []

    def how_to_look(self, name: str) -> str:
        """Return what people may do about a job of a name that may come to be there."""
        delete = self.how_to_delete("JOB")[:1] or ["the command for that"]
        return (
            f"look for it with {self.how_to_describe(name=name)}, and delete it with {delete[0]}."
        )

    def find(self, name: str, mark: str) -> str | None:
        """Return the job of a name of which the batch system says something that holds a mark.

        Raises UNKNOWN.
        """
        found = self.find_all(name, mark)
        return found[-1] if found else None

    def find_all(self, name: str, mark: str) -> Sequence[str]:
        """Return all jobs of a name and with a mark. Raises UNKNOWN."""
        described = self.describe(name=name, timeout_s=FIND_S)
        return [each.job for each in described if mark in each.text]

    def why_queued(self, job: str) -> str:
        """Return why a job waits; "" if it can't be known."""
        described = "".join(each.reason for each in self._try_describe(job)[:1])
        return described or self._rehearsed(job)

    def _rehearsed(self, job: str) -> str:
        try:
            command = call(self.system.rehearsal, job)
            if command is None:
                return ""
            done = self.run(command, _DESCRIBE_S)
            return call_for(str, self.system.obstacles_in, done)
        except PluginFault as problem:
            self.logger.warning("why job %s waits is not known: %s", job, problem)
        except UNKNOWN:  # a site may not allow it, or lack the program
            pass
        return ""

    def error_reasons(self, job: str) -> Mapping[int, str]:
        """Return why tasks of a job are in error, as far as it can be known."""
        return {task: why for each in self._try_describe(job) for task, why in each.errors.items()}

    def how_ended(self, job: str, is_ours: Callable[[BatchEnd], bool]) -> dict[int, BatchEnd]:
        """Return how a job's tasks ended, as far as the accounting has them.

        Args:
            job: its number.
            is_ours: tells its records from those of older jobs that had the number.
        """
        try:
            command = call(self.system.accounting, job)
            if command is None:
                return {}
            runs = call_for_all(self.system.ends_in, self.run(command, _ACCOUNTING_S))
        except PluginFault as problem:
            self.logger.warning("how tasks of job %s ended is not known: %s", job, problem)
            return {}
        except UNKNOWN:
            return {}
        last = {run.task: run for run in runs if is_ours(run)}
        return {task: run for task, run in last.items() if run.is_end}

    def is_there(self, job: str = "", *, name: str = "", mark: str = "") -> bool | None:
        """Return whether a job of a number or name is there; None if that can't be known.

        Args:
            job: its number; "" for a job of a name.
            name: the name.
            mark: what the batch system says of it and of no other job of that name.
        """
        try:
            return any(mark in each.text for each in self.describe(job, name=name))
        except UNKNOWN:
            return None

    def is_another(self, job: str, mark: str) -> bool:
        """Return whether a number belongs to a job without a mark. Raises UNKNOWN."""
        described = self.describe(job, timeout_s=FIND_S)
        return bool(described) and not any(mark in each.text for each in described)

    def delete(self, job: str, ranges: Sequence[range] = ()) -> Deletion:
        """Delete a job, or some of its tasks."""
        parts = iter(ranges)
        words, is_accepted, is_gone = [], True, False
        try:
            commands = call_for_all(self.system.deletion, job, ()) if not ranges else []
            while part := list(islice(parts, _MOST_RANGES)):
                commands += call_for_all(self.system.deletion, job, part)
            for command in commands:
                done = self.run(command, _ASK_S)
                words.append(done.words)
                is_accepted = is_accepted and done.exit_code == 0
                is_gone = is_gone or call(self.system.is_gone, done, job)
        except UNKNOWN as problem:
            return Deletion(
                "\n".join(filter(None, words)), failure=f"its deletion failed: {problem}"
            )
        return Deletion("\n".join(filter(None, words)), is_accepted, is_gone)

    def _try_describe(self, job: str) -> Sequence[Description]:
        try:
            return self.describe(job)
        except UNKNOWN:
            return ()

    def run(self, command: Command, timeout_s: float, *, cwd: str | None = None) -> CommandResult:
        """Run a command. Raises PROBLEMS; TimeoutError names the program that people know."""
        try:
            return self.host.run(
                command.argv, input=command.input.encode(), cwd=cwd, timeout_s=timeout_s
            )
        except TimeoutError as problem:
            first = f"{command.argv[0]} "  # which may only prepare it, such as env
            if not str(problem).startswith(first):
                raise
            words = str(problem).replace(first, f"{command.program} ", 1)
            raise TimeoutError(words) from problem


def _jobs(listed: object, system: BatchSystem) -> Jobs:
    """Return what a plugin has read from a list. Raises PluginFault if that is none."""
    if isinstance(listed, Mapping) and all(isinstance(each, Mapping) for each in listed.values()):
        return listed
    text = f"{type(system).__name__}.tasks_in() did not return a mapping of jobs to their tasks"
    raise PluginFault(text)


def _description_of(job: str, tasks: Mapping[int, BatchTask]) -> Description | None:
    """Return a job's description as its tasks in the list give it; None if all have ended."""
    there = {number: task for number, task in tasks.items() if not has_ended(task)}
    if not there:
        return None
    return Description(
        job,
        text="\n".join(dict.fromkeys(task.mark for task in there.values())),
        running=[n for n, t in there.items() if t.phase in _STARTED],
        reason=reason_in(there.values()),
        errors={n: t.reason for n, t in there.items() if t.phase is LaunchPhase.ENDED},
    )


_STARTED = (LaunchPhase.RUNNING, LaunchPhase.SUSPENDED)
_REASONS = 4


def has_ended(task: BatchTask) -> bool:
    """Return whether a task is over, and not just in error."""
    return task.phase is LaunchPhase.ENDED and task.exit_code is not None


def reason_in(tasks: Iterable[BatchTask]) -> str:
    """Return why tasks wait, as the list gives it, in a line; "" if it does not."""
    waiting = (task for task in tasks if task.phase is LaunchPhase.QUEUED and task.reason)
    reasons = list(dict.fromkeys(task.reason for task in waiting))
    if len(reasons) > _REASONS:
        reasons[_REASONS - 1 :] = [f"and {len(reasons) - _REASONS + 1} more reasons"]
    return "; ".join(reasons)
