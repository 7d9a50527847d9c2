"""Slaves on a Grid Engine cluster: a job array, or the slots of a parallel environment.

In reading order: an array's description (_qsub_array), its job script (_job_script), its life in
the queue (_qsub_launch), which asks for the queue (_queue_watch) through commands (_grid_engine)
whose output is parsed (_queue_list).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imp_parallel_core import Accept, Bootstrap, Launch, Slave, hookimpl

from ._pe_array import SGEPESlaveArray
from ._qsub_array import SGEQsubSlaveArray

__all__ = ["SGEPESlaveArray", "SGEQsubSlaveArray"]


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    """Start slaves on a cluster."""
    if isinstance(slaves, SGEQsubSlaveArray):
        from ._qsub_launch import QsubLaunch

        return QsubLaunch(slaves, bootstraps)
    if isinstance(slaves, SGEPESlaveArray):
        from ._pe_launch import PELaunch

        return PELaunch(slaves, bootstraps, accept)
    return None


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave classes of this plugin."""
    return {"SGEPESlaveArray": SGEPESlaveArray, "SGEQsubSlaveArray": SGEQsubSlaveArray}
