"""The launch of an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imp_parallel_core import Bootstrap, InformedLaunch, WithdrawingLaunch

from ._array import BatchSlaveArray


class BatchLaunch(WithdrawingLaunch, InformedLaunch, Protocol):
    """What :func:`launch_array` returns."""

    @property
    def job(self) -> str:
        """The array's job, as the batch system calls it."""


def launch_array(array: BatchSlaveArray, bootstraps: Sequence[Bootstrap]) -> BatchLaunch:
    """Submit an array of slaves. A plugin's ``imp_parallel_launch`` returns what this returns.

    Args:
        array: the slaves' description, of a class whose ``system`` is set.
        bootstraps: one for each slave.

    Raises LaunchError with the command, its exit code and its words if the array is refused.
    """
    raise NotImplementedError
