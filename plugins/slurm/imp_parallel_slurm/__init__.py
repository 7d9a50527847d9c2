"""Slaves on a Slurm cluster: a job array, or the tasks of an allocation.

Read first the description of an array (_slurm_array). The kit of imp_parallel_batch runs it, and is
told by _slurm what to run and what the answers mean: _sbatch_options and _sbatch_words hold what it
knows of sbatch, and _squeue what it knows of the queue. The slaves in an allocation are described
in _step_array, for which _slots counts its tasks, and launched by _step_launch, with one srun;
_srun_words reads what srun says. _plugin holds the hooks.

Every script loads this package if it is installed, also a script that does not use it; so its names
are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._slurm_array import SlurmSlaveArray
    from ._step_array import SlurmStepSlaveArray

__all__ = ["SlurmSlaveArray", "SlurmStepSlaveArray"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _slurm_array, _step_array

    value = getattr(_slurm_array if name == "SlurmSlaveArray" else _step_array, name)
    globals()[name] = value
    return value
