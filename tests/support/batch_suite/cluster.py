"""What the tests of all batch systems need of a running one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from imp_parallel_batch import BatchSlaveArray


class Refusal(NamedTuple):
    """Options that are refused: their text, the exit code, and what is said."""

    options: str
    exit_code: int
    words: str


class BatchCluster(Protocol):
    """A batch system of the tests' own, as the tests of all batch systems see it."""

    array: type[BatchSlaveArray]
    """The plugin's class."""
    slots: int
    """How many jobs run at a time."""
    two_cores: str
    """The option for jobs of two cores each."""
    held: str
    """The option for an array that waits until it is released."""
    said_of_held: str
    """What a held array is said to be."""
    notice: str
    """The option with which a task that is ended is warned before; "" if that is always so."""
    signal: str
    """The signal of that warning."""
    nowhere: str
    """Options of a job that no place takes, although they are not refused."""
    said_of_nowhere: str
    """The batch system's reason then."""
    refusals: Sequence[Refusal]
    said_of_nobody: str
    """What the command that submits says if it reaches nobody."""
    said_of_silence: str
    """What the command that submits says if it gets no answer in time."""
    forgetful: str
    """A program for the place of the command that lists jobs: its list is empty.

    It writes a line into the file ``asked`` then; if it is asked for one job, it answers.
    """
    spool: Path
    """A folder that holds all that the batch system keeps of jobs."""

    def out_of_reach(self) -> AbstractContextManager[None]:
        """Have the batch system reached by nobody, while no job is there."""

    def silent(self) -> AbstractContextManager[None]:
        """Have the batch system hang: it does later what it is asked meanwhile."""

    def jobs(self) -> Sequence[str]:
        """Return a line for each task in the queue."""

    def kept_jobs(self) -> Sequence[str]:
        """Return those that nobody has deleted."""

    def newest_job(self) -> str:
        """Return the array that was submitted last."""

    def held_job(self) -> str:
        """Return the one array that is held."""

    def release(self, job: str) -> None:
        """Let a held array start."""

    def end_task(self, job: str, number: int) -> None:
        """End one task of an array, as a person would."""

    def delete_all(self) -> None:
        """Delete all jobs, as a person would, and wait until they have gone."""

    def description(self, job: str) -> str:
        """Return all that the batch system tells of a job to anybody."""

    def processes(self) -> dict[int, str]:
        """Return pid and command line of each process of a job."""

    def pids_of_task(self, number: int) -> list[int]:
        """Return the pids of the processes of an array's task."""
