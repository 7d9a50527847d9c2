"""The description of an array of slaves that one qsub launches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from imp_parallel_core import Bootstrap, CommandHost, LocalHost, SlaveArray

from ._grid_engine import GridEngine
from ._job_script import parts_of, render
from ._qsub_options import split_options

_HERE = LocalHost()


class SGEQsubSlaveArray(SlaveArray):
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

    transport = "tcp"

    standard_options = ""
    """Options for qsub that a subclass sets for all its arrays, written as ``options`` are. Those
    that an array is given come behind them, and win."""

    def __init__(self, numslave: int, options: str = "", *, via: CommandHost | None = None) -> None:
        super().__init__(numslave)
        self._options = options
        self.qsub_options = split_options(options)
        self.via = via
        self.host = via or _HERE

    def check(self) -> None:
        """Raise LaunchError if Grid Engine's commands are not to be had.

        Raises ValueError for ``standard_options`` that can't be read or used.
        """
        split_options(self.standard_options)
        GridEngine(self.host).check("qsub", "qstat", "qdel")

    def job_script(self, bootstraps: Sequence[Bootstrap] = ()) -> str:
        """Return a job script such as would be submitted now, to look at.

        Args:
            bootstraps: what the slaves are started with; by default what is usual.
        """
        cwd = Path.cwd()
        shown = bootstraps or [
            Bootstrap(index, sys.executable, str(cwd), f"{cwd}/slave{index}.output", sys.path)
            for index in range(len(self))
        ]
        return render(parts_of(shown, f"{shown[0].cwd}/.imp_parallel-xxxxxxxx"))

    def __repr__(self) -> str:
        options = f", {self._options!r}" if self._options else ""
        return f"{type(self).__name__}({len(self)}{options})"


def options_of(array: SGEQsubSlaveArray) -> list[str]:
    """Return the words of all options that users give to an array. Raises ValueError."""
    return [*split_options(array.standard_options), *array.qsub_options]
