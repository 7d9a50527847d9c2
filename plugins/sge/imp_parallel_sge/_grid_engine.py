"""Grid Engine's commands as calls, each with a deadline."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import NamedTuple

from imp_parallel_core import CommandHost, CommandResult, Error, LaunchError

from ._queue_list import (
    Account,
    Jobs,
    parse_accounting,
    parse_error_reasons,
    parse_marked_jobs,
    parse_queue,
    parse_running_tasks,
    parse_scheduling,
    says_that_it_is_gone,
)

PROBLEMS = (OSError, Error)
"""What calls of a host raise: Error if it can't be reached at all."""

_ASK_S = 15.0
_DESCRIBE_S = 5.0  # the answer is a reason, which is not indispensable
_ACCOUNTING_S = 3.0  # qacct reads the whole file, which may hold years
_FIND_S = 3.0


class Deletion(NamedTuple):
    """An answer of qdel: its words, whether it deletes, and whether there is no such job."""

    words: str = ""
    is_accepted: bool = False
    is_gone: bool = False


class Presence(NamedTuple):
    """What ``qstat -j`` knows of a job: whether it is there, and which of its tasks run."""

    is_known: bool
    running: Set[int] = frozenset()


class GridEngine:
    """The Grid Engine that a host's commands talk to."""

    def __init__(self, host: CommandHost) -> None:
        self.host = host

    def check(self, *programs: str) -> None:
        """Raise LaunchError if the host lacks one of these commands."""
        for program in programs:
            if self.host.find_program(program) is None:
                raise LaunchError(
                    f"{program} was not found; the PATH is {self.host.search_path()}. Run the "
                    "script on a submit host of the cluster, with Grid Engine's environment set "
                    "up (often: source $SGE_ROOT/default/common/settings.sh).",
                    command=[program],
                )

    def find(self, name: str, mark: str) -> int | None:
        """Return the job of a name of which ``qstat -j`` says something that holds a mark."""
        found = parse_marked_jobs(self._describe(name, _FIND_S), mark)
        return found[-1] if found else None

    def queue(self) -> Jobs:
        """Return all tasks of the user's jobs. Raises OSError or ValueError."""
        # (-s: ~/.sge_qstat may restrict the list to states)
        done = self._ask("qstat", "-xml", "-u", "$user", "-s", "prs")
        if done.exit_code != 0:
            raise OSError(f"qstat failed: exit code {done.exit_code}: {done.words}")
        return parse_queue(done.stdout)

    def why_queued(self, job: int) -> str:
        """Return why a job waits; "" if it can't be known."""
        return parse_scheduling(self._describe(job))

    def error_reasons(self, job: int) -> dict[int, str]:
        """Return why tasks of a job are in error, as far as it can be known."""
        return parse_error_reasons(self._describe(job))

    def how_ended(self, job: int, is_ours: Callable[[Account], bool]) -> dict[int, Account]:
        """Return how a job's tasks ended, as far as the accounting has them.

        Args:
            job: its number.
            is_ours: tells its records from those of older jobs that had the number.
        """
        try:
            done = self.host.run(["qacct", "-j", str(job)], timeout_s=_ACCOUNTING_S)
        except PROBLEMS:
            return {}
        runs = [run for run in parse_accounting(done.stdout) if is_ours(run)]
        last = {run.task: run for run in runs}
        return {task: run for task, run in last.items() if run.is_end}

    def look_up(self, job: int) -> Presence | None:
        """Return whether and how a job is still there; None if that can't be known."""
        try:
            done = self.host.run(["qstat", "-j", str(job)], timeout_s=_DESCRIBE_S)
        except PROBLEMS:
            return None
        if says_that_it_is_gone(f"{done.stdout}\n{done.stderr}", job):
            return Presence(is_known=False)
        if job not in parse_marked_jobs(done.stdout):
            return None
        return Presence(is_known=True, running=parse_running_tasks(done.stdout))

    def is_there(self, job: int | str, mark: str = "") -> bool | None:
        """Return whether a job of a number or name is there; None if that can't be known.

        Args:
            job: its number or name.
            mark: what ``qstat -j`` says of it and of no other job of that name.
        """
        try:
            done = self.host.run(["qstat", "-j", str(job)], timeout_s=_DESCRIBE_S)
        except PROBLEMS:
            return None
        if parse_marked_jobs(done.stdout):
            return bool(parse_marked_jobs(done.stdout, mark))
        return False if says_that_it_is_gone(f"{done.stdout}\n{done.stderr}", job) else None

    def is_another(self, job: int, mark: str) -> bool:
        """Return whether a number belongs to a job without a mark. Raises PROBLEMS."""
        done = self.host.run(["qstat", "-j", str(job)], timeout_s=_FIND_S)
        if job in parse_marked_jobs(done.stdout):
            return job not in parse_marked_jobs(done.stdout, mark)
        if says_that_it_is_gone(f"{done.stdout}\n{done.stderr}", job):
            return False
        raise OSError(f"qstat -j {job} does not answer: exit code {done.exit_code}: {done.words}")

    def delete(self, job: int, tasks: str = "") -> Deletion:
        """Delete a job or a range of its tasks."""
        try:
            done = self._ask("qdel", str(job), *(["-t", tasks] if tasks else ()))
        except PROBLEMS as problem:
            return Deletion(str(problem))
        is_gone = says_that_it_is_gone(f"{done.stdout}\n{done.stderr}", job)
        return Deletion(done.words, is_accepted=done.exit_code == 0, is_gone=is_gone)

    def _describe(self, job: int | str, timeout_s: float = _DESCRIBE_S) -> str:
        try:
            return self.host.run(["qstat", "-j", str(job)], timeout_s=timeout_s).stdout
        except PROBLEMS:
            return ""

    def _ask(self, *argv: str) -> CommandResult:
        return self.host.run(argv, timeout_s=_ASK_S)
