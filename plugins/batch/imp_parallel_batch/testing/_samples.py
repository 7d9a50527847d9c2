"""What the commands of a real batch system have printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imp_parallel_core import CommandResult, LaunchPhase

from .._records import Array

Listed = Mapping[str, Mapping[int, LaunchPhase]]


@dataclass(frozen=True)
class Samples:
    """Recorded answers, each with what it means.

    Attributes:
        array: the array that the submissions were about: its name and its size matter.
        submitted: the answers to submissions that made a job, with the job.
        refused: the answers to submissions that were refused for good.
        unreachable: the answers to submissions that reached nobody, and may succeed later.
        listed: answers to the question, with the phases of tasks by job and number. One of them
            has tasks of the job that the first submission made, and one has none.
        described: the answers to questions for one job, with what was asked for (number or name).
        gone: likewise, for jobs that are not there any more.
        deleted: answers to the deletion of the job that the first submission made, and whether each
            says that there is no such job.
        accounted: answers of the accounting, with the exit codes of tasks that have ended.
    """

    array: Array
    submitted: Sequence[tuple[CommandResult, str]]
    refused: Sequence[CommandResult]
    listed: Sequence[tuple[CommandResult, Listed]]
    described: Sequence[tuple[CommandResult, str]] = ()
    gone: Sequence[tuple[CommandResult, str]] = ()
    deleted: Sequence[tuple[CommandResult, bool]] = ()
    accounted: Sequence[tuple[CommandResult, Mapping[int, int]]] = field(default=())
    unreachable: Sequence[CommandResult] = ()
