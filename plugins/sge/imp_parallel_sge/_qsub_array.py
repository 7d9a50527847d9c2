"""The description of an array of slaves that one qsub launches."""

from __future__ import annotations

from collections.abc import Mapping

from imp_parallel_batch import BatchSlaveArray

from imp_parallel_core import CommandHost

from ._system import GRID_ENGINE


class SGEQsubSlaveArray(BatchSlaveArray):
    """Slaves that are the tasks of one Grid Engine job array.

    The script must run on a submit host, in a folder that the execution hosts share; or
    ``via`` names such a host, for a script that runs anywhere else.

    Args:
        numslave: how many slaves.
        options: more options for qsub, written as in a shell: ``'-l h_rt=24:00:00 -q lab.q'``.
        via: where qsub is run, such as ``SSHHost("login")``; by default on this machine.
        threads: how many threads numeric libraries start in a slave's tasks. By default
            ``"granted"``: as many as its task has slots (``-pe smp 4``), which is one without such
            an option. The usual variables (``OMP_NUM_THREADS`` and the like) are set to this
            number, except for those that the user has set, in the job or else in the master's
            environment. None leaves all of them alone.
        environment: variables to add to the environment of the slaves. Never a secret: they are in
            the job script, and in messages.

    Raises ValueError for fewer than one slave, and for options that can't be read or that this
    class sets itself.
    """

    system = GRID_ENGINE
    threads: int | str | None = "NSLOTS"

    def __init__(
        self,
        numslave: int,
        options: str = "",
        *,
        via: CommandHost | None = None,
        threads: int | str | None = "granted",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(numslave, options, via=via, threads=threads, environment=environment)
