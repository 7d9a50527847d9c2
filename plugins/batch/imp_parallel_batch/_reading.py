"""Reading the answers of a batch system's commands: what is the same for most of them."""

from __future__ import annotations

from collections.abc import Collection

from imp_parallel_core import CommandResult

from ._records import Submitted


def output_of(done: CommandResult) -> str:
    """Return what a command has printed. Raises ValueError, with its words, if it has failed."""
    if done.exit_code != 0:
        raise ValueError(f"exit code {done.exit_code}: {done.words}")
    return done.stdout


def understood(
    done: CommandResult, jobs: Collection[str], *, program: str, advice: str = ""
) -> Submitted:
    """Return what the answer to a submission says, as it usually does.

    Args:
        done: the answer.
        jobs: the jobs that it speaks of and that may be the array's.
        program: the command, for messages.
        advice: what to do if it has refused the array.
    """
    if done.exit_code != 0:
        code = f"exit code {done.exit_code}"
        if not jobs:
            return Submitted(refusal=f"{program} refused the array: {code}", advice=advice)
        return Submitted(doubt=code)
    if len(jobs) == 1:
        return Submitted(next(iter(jobs)))
    if jobs:
        return Submitted(doubt="its answer speaks of several arrays")
    return Submitted(doubt="its answer is not understood")
