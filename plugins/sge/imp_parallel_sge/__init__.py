"""Slaves on a Grid Engine cluster: a job array, or the slots of a parallel environment.

The array (_qsub_array) is one of imp_parallel_batch; _system says which of Grid Engine's commands
to run, _qsub_words knows qsub's options, and _queue_list parses what the commands print. The slots
of a parallel environment are _pe_array and _pe_launch.

Every script loads this package if it is installed, also a script that does not use it; so its names
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
