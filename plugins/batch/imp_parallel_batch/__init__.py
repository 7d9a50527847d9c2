"""Slaves as the tasks of a job array, whatever the batch system is called.

A plugin brings a :class:`BatchSystem` (_system), which says what to run and reads what came back,
and a :class:`BatchSlaveArray` (_array) that names it. :func:`launch_array` does the rest. Read the
life of an array in the queue first (_launch). It asks for the queue (_queue_watch) through the
system's commands (_cluster). What a job does is its script (_job_script), and how a task has ended
is found out by _task_ends. At the end the job is deleted (_array_end). A plugin's own mistakes are
caught where its methods are called (_plugin_calls).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._array import BatchSlaveArray
from ._ranges import parse_ranges
from ._system import (
    Array,
    BatchEnd,
    BatchSystem,
    BatchTask,
    Command,
    Description,
    Submitted,
    output_of,
    understood,
)

if TYPE_CHECKING:
    from imp_parallel_core import Bootstrap

    from ._launch import BatchLaunch

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


def launch_array(array: BatchSlaveArray, bootstraps: Sequence[Bootstrap]) -> BatchLaunch:
    """Submit an array of slaves. A plugin's ``imp_parallel_launch`` returns what this returns.

    Args:
        array: the slaves' description, of a class whose ``system`` is set.
        bootstraps: one for each slave.

    Returns a Launch, which is an InformedLaunch and a WithdrawingLaunch too; its ``job`` is the
    array's job, as the batch system calls it.

    Raises LaunchError with the command, its exit code and its words if the array is refused.
    """
    from ._launch import BatchLaunch  # a script that launches nothing need not load it

    return BatchLaunch(array, bootstraps)
