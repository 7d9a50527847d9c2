"""Slaves as the tasks of a job array, whatever the batch system is called.

A plugin brings a :class:`BatchSystem` (_system), which says what to run and reads what came back,
and a :class:`BatchSlaveArray` (_array) that names it. :func:`launch_array` does the rest.
"""

from __future__ import annotations

from ._array import BatchSlaveArray
from ._launching import launch_array
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
    "understood",
]
