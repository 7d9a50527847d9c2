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
        threads: how many threads numeric libraries start in a slave's tasks. By default
            ``"granted"``: as many as its task has cores (``-c 4``), which is one without such an
            option. The usual variables (``OMP_NUM_THREADS`` and the like) are set to this number,
            except for those that the user has set, in the job or else in the master's environment.
            None leaves all of them alone.
        environment: variables to add to the environment of the slaves. Never a secret: they are in
            the job script, and in messages.

    Raises ValueError for fewer than one slave, and for options that can't be read or that this
    class sets itself.
    """

    system = Slurm()
    threads: int | str | None = "SLURM_CPUS_ON_NODE"
