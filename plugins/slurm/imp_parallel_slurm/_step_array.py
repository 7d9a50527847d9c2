"""The description of the slaves that are the tasks of an allocation."""

from __future__ import annotations

import os
from collections.abc import Mapping

from imp_parallel_batch.allocation import check_programs

from imp_parallel_core import LaunchError, LocalHost, SlaveArray
from imp_parallel_core.arguments import checked_environment

from ._slots import slots_in

_ADVICE = "Slurm's commands must be in the PATH of the script's job."


class SlurmStepSlaveArray(SlaveArray):
    """Slaves on all task slots of the Slurm allocation that the script runs in.

    The script itself is a batch job (``sbatch --ntasks=N``), or runs under ``salloc``. One ``srun``
    starts a slave on each task slot that was granted, on all nodes of the allocation.

    Args:
        threads: how many threads numeric libraries start in a slave's tasks. By default
            ``"granted"``: as many as a task of the allocation has cores (``--cpus-per-task``). The
            usual variables (``OMP_NUM_THREADS`` and the like) are set to this number, except for
            those that the user has set. None leaves all of them alone.
        environment: variables to add to the environment of the slaves. Never a secret, since
            messages show the description.
    """

    transport = "tcp"
    threads: int | str | None = "SLURM_CPUS_PER_TASK"

    def __init__(
        self,
        *,
        threads: int | str | None = "granted",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(1)  # how many there are is known when they are added
        if threads != "granted":
            self.threads = threads
        self.environment = checked_environment(self, environment)

    def check(self) -> None:
        """Raise LaunchError if this is no allocation, or has no srun."""
        granted_slots()
        check_programs(LocalHost(), ["srun"], _ADVICE)

    def __len__(self) -> int:
        """Return how many task slots were granted. Raises LaunchError."""
        return granted_slots()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def granted_slots() -> int:
    """Return how many tasks the allocation that this script runs in has. Raises LaunchError."""
    try:
        return slots_in(os.environ)
    except ValueError as problem:
        raise LaunchError(str(problem)) from problem
