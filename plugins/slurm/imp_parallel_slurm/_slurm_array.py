"""The description of an array of slaves that one sbatch launches."""

from __future__ import annotations

from imp_parallel_batch import BatchSlaveArray

from ._slurm import Slurm


class SlurmSlaveArray(BatchSlaveArray):
    """Slaves that are the tasks of one Slurm job array.

    The script must run where sbatch can be run, in a folder that the nodes share; or ``via`` names
    such a host, for a script that runs anywhere else.

    Args:
        count: how many slaves.
        options: more options for sbatch, written as in a shell: ``"--time=24:00:00 --mem=4G"``.
        via: where sbatch is run, such as ``SSHHost("login")``; by default on this machine.
        threads, environment: as for ``BatchSlaveArray``; a task has as many cores as ``-c`` says.

    Raises ValueError for fewer than one slave, and for options that can't be read or that this
    class sets itself.
    """

    system = Slurm()
    threads: int | str | None = "SLURM_CPUS_ON_NODE"
