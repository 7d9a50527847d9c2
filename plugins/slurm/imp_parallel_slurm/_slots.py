"""How many tasks the allocation that a script runs in has, by its environment. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(r"(\d+)(?:\(x(\d+)\))?")
_STEPS = 0xFFFFFF00  # numbers from here on are not of steps that srun was called for


def slots_in(environment: Mapping[str, str]) -> int:
    """Return the number of task slots. Raises ValueError, which says what is wrong.

    Args:
        environment: as Slurm sets it for a batch script, and for what salloc runs.
    """
    if "SLURM_JOB_ID" not in environment:
        raise ValueError(
            "SLURM_JOB_ID is not set: this script does not run in a Slurm allocation. Submit it "
            "with sbatch --ntasks=N, start it under salloc --ntasks=N, or use SlurmSlaveArray."
        )
    step = environment.get("SLURM_STEP_ID", "")
    if step.isdecimal() and int(step) < _STEPS:
        raise ValueError(
            f"this script is itself a task of srun (step {step}): start it without srun, in the "
            "batch script or under salloc, and its slaves will be the tasks."
        )
    text = environment.get("SLURM_TASKS_PER_NODE", "")
    parts = [_PART.fullmatch(part) for part in text.split(",")]
    count = sum(int(part[1]) * int(part[2] or 1) for part in parts if part is not None)
    if count < 1 or None in parts:
        raise ValueError(f"SLURM_TASKS_PER_NODE can't be read: {text!r}")
    return count
