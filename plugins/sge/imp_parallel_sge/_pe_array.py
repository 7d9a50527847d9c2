"""The description of the slaves that fill a parallel environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from imp_parallel_batch.allocation import check_programs

from imp_parallel_core import LaunchError, LocalHost, SlaveArray, explained
from imp_parallel_core.arguments import checked_environment

from ._hostfile import Grant, parse_hostfile
from ._system import GRID_ENGINE


class SGEPESlaveArray(SlaveArray):
    """Slaves on all slots of the Grid Engine parallel environment that the script runs in.

    The script itself must have been submitted with ``qsub -pe``. One slave runs for each slot
    that was granted: the first beside the script, the others through ``qrsh -inherit``.

    Args:
        threads: how many threads numeric libraries start in a slave's tasks: one by default, since
            a slave is one slot. The usual variables (``OMP_NUM_THREADS`` and the like) are set to
            this number, except for those that the user has set. None leaves all of them alone.
        environment: variables to add to the environment of the slaves. Never a secret: they are in
            the command line of qrsh, and in messages.
    """

    transport = "tcp"

    def __init__(
        self, *, threads: int | None = 1, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(1)  # how many there are is known when they are added
        self.threads = threads
        self.environment = checked_environment(self, environment)

    def check(self) -> None:
        """Raise LaunchError if this is no parallel environment, or has no qrsh."""
        if sum(grant.slots for grant in granted_slots()) > 1:
            check_programs(LocalHost(), ["qrsh"], GRID_ENGINE.advice)

    def __len__(self) -> int:
        """Return how many slots were granted. Raises LaunchError."""
        return sum(grant.slots for grant in granted_slots())

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def granted_slots() -> list[Grant]:
    """Return which slots the parallel environment of this job has granted. Raises LaunchError."""
    path = os.environ.get("PE_HOSTFILE")
    if path is None:
        text = (
            "PE_HOSTFILE is not set: this script does not run in a Grid Engine parallel "
            "environment. Submit it with qsub -pe NAME SLOTS (qconf -spl lists the names), or "
            "use SGEQsubSlaveArray."
        )
        raise LaunchError(explained(text, "pe-hostfile"))
    try:
        return parse_hostfile(Path(path).read_text())
    except (OSError, ValueError) as problem:
        raise LaunchError(f"the host file of this job, {path}: {problem}") from problem
