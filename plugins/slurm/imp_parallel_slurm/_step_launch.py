"""The launch of slaves on the task slots of an allocation: one srun starts them all."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from imp_parallel_batch.allocation import documents_of_job, slave_script, warn_if_only_here

from imp_parallel_core import (
    Accept,
    Bootstrap,
    LaunchError,
    LaunchPhase,
    LaunchState,
    LocalHost,
    start_processes,
)

from ._slurm import Slurm
from ._srun_words import ends_in, lines_for, waits_in

_TERMINATED_S = 3.0  # for srun to end its tasks
_SAID_BYTES = 1 << 20
_TAIL_LINES = 20


class _Step(Slurm):
    """Slurm, as the tasks of a step see it: they have numbers of their own, from 0."""

    task_variable = "SLURM_PROCID"
    first_task = 0
    restarted = "0"
    warns_children = True


_STEP = _Step()


class StepLaunch:
    """The slaves of one step: srun is a process of this machine, and ends with them.

    Args:
        bootstraps: one for each task slot.
        accept: takes streams, of which there are none: the slaves come through the transport.

    Raises LaunchError if srun can't be started.
    """

    def __init__(self, bootstraps: Sequence[Bootstrap], accept: Accept) -> None:
        first = bootstraps[0]
        warn_if_only_here(_STEP, first.addresses)
        self._bootstraps = dict(enumerate(bootstraps))
        self._tasks = {each.index: number for number, each in self._bootstraps.items()}
        self._host = LocalHost()
        self._documents = documents_of_job(
            _STEP,
            first.cwd,
            self._bootstraps,
            job=os.environ.get("SLURM_JOB_ID", ""),
            name=os.environ.get("SLURM_JOB_NAME", ""),
        )
        folder = self._documents.folder
        self._said = f"{folder}/srun"
        self.command: Sequence[str] = srun_command(len(bootstraps), f"{folder}/script")
        self._ended: dict[int, LaunchState] = {}
        try:
            script = slave_script(_STEP, bootstraps, folder)
            self._host.write_file(f"{folder}/script", script.encode())
            self._srun = start_processes(
                [first._replace(output_path=self._said)],
                accept,
                lambda argv, bootstrap: self.command,
                document="file",
                terminate_s=_TERMINATED_S,
            )
        except OSError as problem:
            self._documents.remove()
            raise LaunchError(f"can't write the slaves' script: {problem}") from problem
        except BaseException:
            self._documents.remove()
            raise

    def poll(self) -> Mapping[int, LaunchState]:
        """Return which slaves run, and how the others ended, as they or srun say."""
        (srun,) = self._srun.poll().values()
        said = self._words()
        why_not_yet = waits_in(said)
        self._note_ends(said)
        states = {}
        for number, bootstrap in self._bootstraps.items():
            if number in self._ended:
                state = self._ended[number]
            elif srun.phase is LaunchPhase.ENDED:
                state = LaunchState(LaunchPhase.ENDED, "srun has ended", srun.exit_code)
            elif why_not_yet:
                state = LaunchState(LaunchPhase.QUEUED, why_not_yet)
            else:
                state = LaunchState(LaunchPhase.RUNNING)
            states[bootstrap.index] = state
        return states

    def _note_ends(self, said: str) -> None:
        """Learn which slaves have ended: by the codes that they leave, and by what srun says."""
        names = {path.name for path in Path(self._documents.folder).iterdir()}
        for number, end in ends_in(said).items():
            state = LaunchState(LaunchPhase.ENDED, f"srun: {end.words}", end.exit_code)
            self._ended.setdefault(number, state)
        for number in self._bootstraps:
            if number not in self._ended and f"{number}.exit" in names:
                code = self._documents.exit_code(number)
                if code is not None:  # it is being written
                    self._ended[number] = LaunchState(LaunchPhase.ENDED, exit_code=code)

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Remove the documents of slaves that have connected; srun starts none of them anew."""
        self._documents.forget(self._tasks[index] for index in connected)

    def cancel(self, grace_s: float) -> None:
        """Let the slaves leave, then have srun end them."""
        self._srun.cancel(grace_s)
        self._documents.remove()

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output, after what srun and its task's start said."""
        number = self._tasks[index]
        said = list(lines_for(number, self._words()))[-_TAIL_LINES:]
        tail = self._documents.tail(number, self._bootstraps[number])
        return "\n".join([*said, *tail.splitlines()][-_TAIL_LINES:])

    def _words(self) -> str:
        try:
            data = self._host.read_file(self._said, limit_bytes=_SAID_BYTES)
        except OSError:
            return ""
        return data.decode(errors="replace")


def srun_command(count: int, script: str) -> list[str]:
    """Return the srun that runs a script on each task slot.

    No task's end, and no node's, is to end the others; and the step takes what the script's own
    step, if it has one, holds as well.

    Args:
        count: how many task slots.
        script: the path of the script, on all nodes.
    """
    cores = os.environ.get("SLURM_CPUS_PER_TASK")  # srun no longer heeds this by itself
    return [
        *("srun", f"--ntasks={count}", *([f"--cpus-per-task={cores}"] if cores else [])),
        *("--overlap", "--no-kill", "--kill-on-bad-exit=0", "--wait=0"),
        *("--input=none", "--export=ALL", "--mpi=none", "--label", "--job-name=imp_parallel"),
        *("/bin/bash", script),
    ]
