"""Says why the system refused a process or a file, and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from .._errors import LaunchError
from .._explained import explained

_ADVICE = {
    errno.EMFILE: "Close some files, or raise the limit of open files (ulimit -n).",
    errno.ENFILE: "Close some files: this machine can't open more.",
    errno.EAGAIN: "Add fewer slaves, or raise the limit of processes (ulimit -u).",
    errno.ENOMEM: "This machine's memory is used up: add fewer slaves.",
    errno.E2BIG: "The environment or the command line is too large: remove what is not needed.",
    errno.ENOSPC: "The disk is full: make room there.",
    errno.EDQUOT: "Your quota there is used up: make room.",
}

_LIMITS = {
    errno.EMFILE: "open-file-limit",
    errno.ENFILE: "open-file-limit",
    errno.EAGAIN: "process-limit",
}
"""The keys of the sections about limits."""


def advice_for(problem: OSError, otherwise: str) -> str:
    """Return what to do when the system refuses something; ``otherwise`` if that is particular."""
    return _ADVICE.get(problem.errno or 0, otherwise)


def start_failure(
    problem: OSError,
    command: Sequence[str],
    advice: str = "Give Manager a python= that exists and can be run.",
) -> LaunchError:
    """Return the error that says why a slave's process could not be started, and what to do.

    For launchers that start processes on this machine.

    Args:
        problem: the system's error.
        command: the command line.
        advice: what to do if its program is not there, or can't be run.
    """
    program = command[0]
    if problem.errno == errno.ENOENT and os.path.exists(program):
        advice = f"Look for the interpreter that the first line of {program} names."
    text = f"{program} can't be started: {problem.strerror or problem}."
    key = _LIMITS.get(problem.errno or 0, "cant-be-started")
    return LaunchError(explained(f"{text} {advice_for(problem, advice)}", key), command=command)
