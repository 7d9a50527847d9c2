"""Helpers of the tests with slaves in a real queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imp_parallel_batch import BatchSlaveArray
from imp_parallel_slurm import SlurmSlaveArray

from imp_parallel_core import Context, Manager
from tests.support.batch_suite.cluster import Refusal
from tests.support.slurm import NODES, SLOTS, Slurm
from tests.support.waiting import wait_until


class SlurmBatch:
    """A Slurm, as the tests of all batch systems see it."""

    array: type[BatchSlaveArray] = SlurmSlaveArray
    slots = SLOTS * len(NODES)
    two_cores = "-c 2"
    held = "--hold"
    said_of_held = "PENDING (is held): JobHeldUser"
    notice = ""
    signal = "SIGTERM"
    nowhere = "-p closed"
    said_of_nowhere = "PartitionDown"
    said_of_nobody = "Unable to contact slurm controller"
    said_of_silence = "Batch job submission failed: Socket timed out on send/recv operation"
    forgetful = """\
#!/bin/sh
case "$*" in
    *--states=all*) exec /usr/bin/squeue "$@" ;;
    *) echo asked >>asked
        /usr/bin/squeue "$@" | head -n 1 ;;
esac
"""
    refusals: Sequence[Refusal] = (
        Refusal("--bogus", 255, "unrecognized option '--bogus'"),
        Refusal("-p 'no such'", 1, "invalid partition specified: no such"),
        Refusal("--mem=1T", 1, "Memory specification can not be satisfied"),
    )

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm
        self.spool = slurm.base

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        self._slurm.stop_controller()
        try:
            yield
        finally:
            self._slurm.start_controller()

    @contextmanager
    def silent(self) -> Iterator[None]:
        with self._slurm.patient_commands(), self._slurm.silent_controller():
            yield

    def jobs(self) -> list[str]:
        return self._slurm.jobs()

    def kept_jobs(self) -> list[str]:
        return self._slurm.kept_jobs()

    def newest_job(self) -> str:
        return self._slurm.newest_job()

    def held_job(self) -> str:
        (job,) = self._slurm.run("squeue", "-h", "-t", "pending", "-o", "%F").split()
        return job

    def release(self, job: str) -> None:
        self._slurm.run("scontrol", "release", job)

    def end_task(self, job: str, number: int) -> None:
        self._slurm.run("scancel", f"{job}_{number}")

    def delete_all(self) -> None:
        self._slurm.run("scancel", "--me")
        wait_until(lambda: not self.jobs(), what="an empty queue")

    def description(self, job: str) -> str:
        script = self._slurm.run("scontrol", "write", "batch_script", job, "-")
        return self._slurm.run("scontrol", "show", "job", job) + script

    def processes(self) -> dict[int, str]:
        return self._slurm.processes()

    def pids_of_task(self, number: int) -> list[int]:
        return self._slurm.pids_of_task(number)


class Impatient(Manager):
    """A Manager that gives slaves up soon."""

    heartbeat_timeout = 5.0
    reconnect_timeout = 3.0


@contextmanager
def manager_of(
    count: int, options: str = "", *, kind: type[Manager] = Manager, python: str | None = None
) -> Iterator[Manager]:
    """Yield a Manager with an array of slaves."""
    with kind(python=python) as manager:
        manager.add_slave(SlurmSlaveArray(count, options))
        yield manager


class Log:
    """What tasks have noted: their numbers, and the array's tasks that ran them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add_tasks(self, context: Context, count: int, seconds: float) -> None:
        path = str(self._path)

        def task(number: int) -> tuple[str, str]:
            import os
            import time

            job_task = os.environ["SLURM_ARRAY_TASK_ID"]
            with open(path, "a") as file:  # noqa: PTH123
                file.write(f"{number} {job_task}\n")
            time.sleep(seconds)
            return job_task, os.environ.get("SLURM_RESTART_COUNT", "0")

        for number in range(count):
            context.add_task(task, number)

    def _lines(self) -> list[list[str]]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [line.split() for line in lines]

    def numbers(self) -> list[int]:
        return sorted(int(line[0]) for line in self._lines())

    def at_work(self) -> set[str]:
        return {line[1] for line in self._lines()}
