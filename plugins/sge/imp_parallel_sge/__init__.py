"""Slaves on a Grid Engine cluster: a job array, or the slots of a parallel environment.

In reading order: an array's description (_qsub_array), its job script (_job_script), its life in
the queue (_qsub_launch), which asks for the queue (_queue_watch) through commands (_grid_engine)
whose output is parsed (_queue_list).

Every script loads this package where it is installed, also one that has no use for it; so its names
are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._pe_array import SGEPESlaveArray
    from ._qsub_array import SGEQsubSlaveArray

__all__ = ["SGEPESlaveArray", "SGEQsubSlaveArray"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _pe_array, _qsub_array

    value = getattr(_pe_array if name == "SGEPESlaveArray" else _qsub_array, name)
    globals()[name] = value
    return value
