"""Slaves as the tasks of a job array, whatever the batch system is called.

A plugin brings a :class:`BatchSystem` (_system; _records has what the kit and it tell each other),
which says what to run and reads what came back (_reading), and a :class:`BatchSlaveArray` (_array)
that names it. :func:`launch_array` does the rest: it submits the array (_beginning, _submission),
again and again while the batch system can't be reached (_pending_launch); if it comes to be there
twice, one job is deleted (_repeats). Read the life of an array in the queue first (_launch). It
asks for the queue (_queue_watch) through the system's commands (_cluster). What a job does is its
script (_job_script), and how a task has ended is found out by _task_ends. At the end the job is
deleted (_array_end). A plugin's own mistakes are caught where its methods are called
(_plugin_calls). The kit is a plugin itself, since its messages are explained (_plugin).

Every script loads this package if it is installed, also a script that does not use it; so its names
are loaded when they are first used.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imp_parallel_core import Bootstrap

    from ._array import BatchSlaveArray
    from ._launch import BatchLaunch
    from ._pending_launch import PendingLaunch
    from ._ranges import parse_ranges
    from ._reading import output_of, understood
    from ._records import Array, BatchEnd, BatchTask, Command, Description, Submitted
    from ._system import BatchSystem

_MODULES = {
    "_array": ("BatchSlaveArray",),
    "_ranges": ("parse_ranges",),
    "_reading": ("output_of", "understood"),
    "_records": ("Array", "BatchEnd", "BatchTask", "Command", "Description", "Submitted"),
    "_system": ("BatchSystem",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


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
