"""Slaves on this machine. No port is opened: master and slave share a socket pair.

Every script loads this package where it is installed, so what few scripts need is loaded when it is
first used.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imp_parallel_core import Accept, Bootstrap, Launch, Slave, hookimpl

from ._local_slave import LocalSlave

if TYPE_CHECKING:
    from ._local_slaves import LocalSlaves

__all__ = ["LocalSlave", "LocalSlaves"]


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    """Start local slaves."""
    if isinstance(slaves, LocalSlave):
        from imp_parallel_core import start_processes  # not before a slave is started

        return start_processes(bootstraps, accept)
    # whoever has made an array has loaded its module
    arrays = sys.modules.get(f"{__name__}._local_slaves")
    if arrays is None or not isinstance(slaves, arrays.LocalSlaves):
        return None
    from ._launch import launch

    return launch(slaves, bootstraps, accept)


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave classes of this plugin."""
    from ._local_slaves import LocalSlaves

    return {"LocalSlave": LocalSlave, "LocalSlaves": LocalSlaves}


def __getattr__(name: str) -> Any:
    if name != "LocalSlaves":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._local_slaves import LocalSlaves

    globals()[name] = LocalSlaves
    return LocalSlaves
