"""The description of an array of slaves that one qsub launches."""

from __future__ import annotations

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

    Raises ValueError for fewer than one slave, and for options that can't be read or that this
    class sets itself.
    """

    system = GRID_ENGINE

    def __init__(self, numslave: int, options: str = "", *, via: CommandHost | None = None) -> None:
        super().__init__(numslave, options, via=via)
