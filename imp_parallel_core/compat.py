"""The names of newer versions of IMP.parallel, which call slaves workers.

A script for these versions runs if it imports this module instead. The names of older versions are
in the package itself, and in this module, too.
"""

from __future__ import annotations

from typing import Any

import imp_parallel_core as core

from ._api.context import Context
from ._api.manager import Manager as _Manager
from ._errors import Error, NetworkError
from ._errors import NoMoreSlavesError as NoMoreWorkersError
from ._plugins.slaves import Slave as Worker
from ._plugins.slaves import SlaveArray as WorkerArray
from ._task_errors import RemoteError

_OF_PLUGINS = {
    "LocalWorker": "LocalSlave",
    "SGEPEWorkerArray": "SGEPESlaveArray",
    "SGEQsubWorkerArray": "SGEQsubSlaveArray",
}

__all__ = [
    "Context",
    "Error",
    "Manager",
    "NetworkError",
    "NoMoreWorkersError",
    "RemoteError",
    "Worker",
    "WorkerArray",
]


class Manager(_Manager):
    """The Manager, with the spelling and the default names of output files of newer scripts."""

    def __init__(
        self,
        python: str | None = None,
        host: str | None = None,
        output: str | None = "worker%d.output",
        **options: Any,
    ) -> None:
        super().__init__(python, host, output, **options)

    def add_worker(self, worker: Worker) -> None:
        """Add a slave or an array of slaves: :meth:`add_slave`."""
        self.add_slave(worker)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(core, _OF_PLUGINS.get(name, name))


def __dir__() -> list[str]:
    return sorted({*__all__, *core.__all__})
