"""Slaves as the tasks of a job array, whatever the batch system is called.

A plugin brings a :class:`BatchSystem` (_system; _records has what the kit and it tell each other),
which says what to run and reads what came back (_reading), and a :class:`BatchSlaveArray` (_array)
that names it. :func:`launch_array` does the rest: it submits the array (_beginning, _submission),
again and again while the batch system can't be reached (_pending_launch); if it comes to be there
twice, one job is deleted (_repeats). Read the life of an array in the queue first (_launch). It
asks for the queue (_queue_watch) through the system's commands (_cluster). What a job does is its
script (_job_script), and how a task has ended is found out by _task_ends. At the end the job is
deleted (_array_end). A plugin's own mistakes are caught where its methods are called
(_plugin_calls).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._array import BatchSlaveArray
from ._ranges import parse_ranges
from ._reading import output_of, understood
from ._records import Array, BatchEnd, BatchTask, Command, Description, Submitted
from ._system import BatchSystem

if TYPE_CHECKING:
    from imp_parallel_core import Bootstrap

    from ._launch import BatchLaunch
    from ._pending_launch import PendingLaunch

__all__ = [
    "Array",
    "BatchEnd",
    "BatchSlaveArray",
    "BatchSystem",
    "BatchTask",
    "Command",
    "Description",
    "Submitted",
    "launch_array",
    "output_of",
    "parse_ranges",
    "understood",
]


def launch_array(
    array: BatchSlaveArray, bootstraps: Sequence[Bootstrap]
) -> BatchLaunch | PendingLaunch:
    """Submit an array of slaves. A plugin's ``imp_parallel_launch`` returns what this returns.

    Args:
        array: the slaves' description, of a class whose ``system`` is set.
        bootstraps: one for each slave.

    Returns a Launch, which is an InformedLaunch and a WithdrawingLaunch too; its ``job`` is the
    array's job, as the batch system calls it. It is "" as long as the batch system can't be
    reached: that is tried for as long as a slave may take to connect (``connect_timeout``).

    Raises LaunchError with the command, its exit code and its words if the array is refused.
    """
    from ._beginning import begin  # a script that launches nothing need not load it

    return begin(array, bootstraps)
