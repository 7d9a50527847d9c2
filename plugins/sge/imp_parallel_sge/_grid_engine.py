"""Grid Engine's commands as calls, each with a deadline."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from imp_parallel_core import CommandHost, CommandResult, LaunchError

from ._queue_list import (
    Jobs,
    parse_accounting,
    parse_error_reasons,
    parse_queue,
    parse_scheduling,
)

_SUBMIT_S = 120.0  # a submission may pass through a site's slow verifier
_ASK_S = 15.0
_DESCRIBE_S = 5.0  # it tells a reason, and can be done without
_ACCOUNTING_S = 3.0  # it is searched from end to end, and may be years long
_JOB_NUMBER = re.compile(r"^(\d+)(?:\.\d+-\d+:\d+)?$", re.MULTILINE)


class GridEngine:
    """The Grid Engine that a host's commands talk to."""

    def __init__(self, host: CommandHost) -> None:
        self.host = host

    def check(self, *programs: str) -> None:
        """Raise LaunchError if these commands are not to be had."""
        for program in programs:
            if self.host.find_program(program) is None:
                raise LaunchError(
                    f"{program} was not found; the PATH is {self.host.search_path()}. Run the "
                    "script on a submit host of the cluster, with Grid Engine's environment set "
                    "up (often: source $SGE_ROOT/default/common/settings.sh).",
                    command=[program],
                )

    def submit(self, argv: Sequence[str], script: str, cwd: str) -> int:
        """Submit a job script; return the job's number. Raises LaunchError."""
        try:
            done = self.host.run(argv, input=script.encode(), cwd=cwd, timeout_s=_SUBMIT_S)
        except OSError as problem:
            name = argv[argv.index("-N") + 1]
            raise LaunchError(
                f"the array could not be submitted: {problem}\n    command: {shlex.join(argv)}\n"
                "    If qmaster is slow, the job may be there all the same: look for "
                f"{name} in qstat, and delete it with qdel.",
                command=argv,
            ) from problem
        number = _JOB_NUMBER.search(done.stdout)
        if done.exit_code == 0 and number:
            return int(number[1])
        raise LaunchError(
            f"qsub refused the array: exit code {done.exit_code}\n"
            f"    command: {shlex.join(argv)}\n{_quoted(done)}\n"
            "    Compare the options with what works for qsub by hand (qconf -sql lists the "
            "queues, qconf -sc what -l may ask for).",
            command=argv,
            exit_code=done.exit_code,
            output=done.words,
        )

    def queue(self) -> Jobs:
        """Return all tasks of the user's jobs. Raises OSError or ValueError."""
        done = self._ask("qstat", "-xml", "-u", "$user")
        if done.exit_code != 0:
            raise OSError(f"qstat failed: exit code {done.exit_code}: {done.words}")
        return parse_queue(done.stdout)

    def why_queued(self, job: int) -> str:
        """Return why a job waits; "" if it can't be known."""
        return parse_scheduling(self._describe(job))

    def error_reasons(self, job: int) -> dict[int, str]:
        """Return why tasks of a job are in error, as far as it can be known."""
        return parse_error_reasons(self._describe(job))

    def how_ended(self, job: int) -> dict[int, tuple[int, str]]:
        """Return exit code and failure of a job's tasks, as far as the accounting has them."""
        try:
            done = self.host.run(["qacct", "-j", str(job)], timeout_s=_ACCOUNTING_S)
        except OSError:
            return {}
        return parse_accounting(done.stdout)

    def delete(self, job: int, tasks: str = "") -> str:
        """Delete a job or a range of its tasks; return what was said. Raises OSError."""
        return self._ask("qdel", str(job), *(["-t", tasks] if tasks else ())).words

    def _describe(self, job: int) -> str:
        try:
            return self.host.run(["qstat", "-j", str(job)], timeout_s=_DESCRIBE_S).stdout
        except OSError:
            return ""

    def _ask(self, *argv: str) -> CommandResult:
        return self.host.run(argv, timeout_s=_ASK_S)


def _quoted(done: CommandResult) -> str:
    return "\n".join(f"    | {line}" for line in done.words.splitlines()) or "    (it said nothing)"
