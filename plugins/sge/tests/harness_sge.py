"""Helpers of the tests with slaves in a real queue."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imp_parallel_batch import BatchSlaveArray
from imp_parallel_sge import SGEQsubSlaveArray

from imp_parallel_core import Manager
from tests.support.as_root import stopped_as_root
from tests.support.batch_suite.cluster import Refusal
from tests.support.grid_engine import Cell
from tests.support.waiting import wait_until


class GridEngineBatch:
    """A cell, as the tests of all batch systems see it."""

    array: type[BatchSlaveArray] = SGEQsubSlaveArray
    two_cores = "-pe mpi 2"
    held = "-h"
    said_of_held = "is held"
    notice = "-notify"
    signal = "SIGUSR2"
    nowhere = "-l arch=nothing-like-it"
    said_of_nowhere = "nothing-like-it"
    said_of_nobody = "unable to send message to qmaster"
    said_of_silence = "Unable to run job: failed receiving gdi request response for mid=1"
    forgetful = """\
#!/bin/sh
echo "Welcome to the <cluster>"
case "$*" in
    *-xml*) echo asked >>asked
        echo "<?xml version='1.0'?><job_info><queue_info/><job_info/></job_info>" ;;
    *) exec /usr/bin/qstat "$@" ;;
esac
"""
    refusals: Sequence[Refusal] = (
        Refusal("-bogus", 2, "invalid option"),
        Refusal("-q 'no such.q'", 1, "no such.q"),
        Refusal("-l nonsense=1", 1, 'unknown resource "nonsense"'),
    )

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.slots = cell.slots
        self.spool = cell.base / "spool"

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        self._cell.stop_qmaster()
        try:
            yield
        finally:
            self._cell.stop_execd()  # it would take half a minute to find the new qmaster
            self._cell.start_qmaster()
            self._cell.start_execd()

    @contextmanager
    def silent(self) -> Iterator[None]:
        (pid,) = self._cell.pids("qmaster")
        with stopped_as_root(pid):
            yield

    def jobs(self) -> list[str]:
        return self._cell.jobs().splitlines()[2:]

    def kept_jobs(self) -> list[str]:
        return self._cell.kept_jobs()

    def newest_job(self) -> str:
        return newest_job(self._cell)

    def held_job(self) -> str:
        (job,) = {line.split()[0] for line in self.jobs() if " hqw " in line}
        return job

    def release(self, job: str) -> None:
        self._cell.run("qrls", job)

    def end_task(self, job: str, number: int) -> None:
        self._cell.run("qdel", f"{job}.{number}")

    def delete_all(self) -> None:
        self._cell.try_run("qdel", "-u", "*")
        wait_until(lambda: not self.jobs(), what="an empty queue")

    def description(self, job: str) -> str:
        return self._cell.run("qstat", "-j", job)

    def processes(self) -> dict[int, str]:
        return self._cell.processes()

    def pids_of_task(self, number: int) -> list[int]:
        return pids_of_task(self._cell, number)


@contextmanager
def manager_of(count: int, options: str = "", **more: object) -> Iterator[Manager]:
    """Yield a Manager with an array of slaves."""
    with Manager(**more) as manager:  # type: ignore[arg-type]  # passed through
        manager.add_slave(SGEQsubSlaveArray(count, options))
        yield manager


def pids_of_task(cell: Cell, number: int) -> list[int]:
    """Return the pids of the processes of an array's task."""
    return [pid for pid in cell.processes() if task_of(pid) == str(number)]


def newest_job(cell: Cell) -> str:
    """Return the number of the job that was submitted last."""
    return max((line.split()[0] for line in cell.jobs().splitlines()[2:]), key=int)


def task_of(pid: int) -> str:
    """Return the number of the task that a process belongs to."""
    try:
        with open(f"/proc/{pid}/environ") as file:  # noqa: PTH123
            entries = file.read().split("\0")
    except OSError:
        return ""
    return next((e.partition("=")[2] for e in entries if e.startswith("SGE_TASK_ID=")), "")


def start_in_environment(
    folder: Path, source: str, *arguments: str, slots: int = 3
) -> subprocess.Popen[str]:
    """Start a script on slots of a parallel environment."""
    (folder / "inside.py").write_text(source)
    command = shlex.join(["exec", sys.executable, "-W", "error", "inside.py", *arguments])
    paths = os.pathsep.join(filter(None, sys.path))
    options = ["-sync", "y", "-pe", "mpi", str(slots), "-j", "y", "-o", "out", "-S", "/bin/bash"]
    qsub = ["qsub", *options, "-cwd", "-v", f"PYTHONPATH={paths}"]
    process = subprocess.Popen(qsub, cwd=folder, stdin=-1, stdout=-3, text=True)
    assert process.stdin is not None
    with process.stdin as script:
        script.write(command)
    return process
