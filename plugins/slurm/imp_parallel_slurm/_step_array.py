"""The description of the slaves that are the tasks of an allocation."""

from __future__ import annotations

import os

from imp_parallel_batch.allocation import check_programs

from imp_parallel_core import LaunchError, LocalHost, SlaveArray

from ._slots import slots_in

_ADVICE = "Slurm's commands must be in the PATH of the script's job."


class SlurmStepSlaveArray(SlaveArray):
    """Slaves on all task slots of the Slurm allocation that the script runs in.

    The script itself is a batch job (``sbatch --ntasks=N``), or runs under ``salloc``. One ``srun``
    starts a slave on each task slot that was granted, on all nodes of the allocation.
    """

    transport = "tcp"
    threads = "SLURM_CPUS_PER_TASK"

    def __init__(self) -> None:
        super().__init__(1)  # how many there are is known when they are added

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
