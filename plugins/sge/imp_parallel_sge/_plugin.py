"""The plugin's hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imp_parallel_core import Accept, Bootstrap, Launch, Slave, hookimpl


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    """Start slaves on a cluster."""
    from . import SGEPESlaveArray, SGEQsubSlaveArray

    if isinstance(slaves, SGEQsubSlaveArray):
        from imp_parallel_batch import launch_array

        return launch_array(slaves, bootstraps)
    if isinstance(slaves, SGEPESlaveArray):
        from ._pe_launch import PELaunch

        return PELaunch(bootstraps, accept)
    return None


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave classes of this plugin."""
    from . import SGEPESlaveArray, SGEQsubSlaveArray

    return {"SGEPESlaveArray": SGEPESlaveArray, "SGEQsubSlaveArray": SGEQsubSlaveArray}


@hookimpl
def imp_parallel_explanations() -> str:
    """Return what explains the errors and warnings of this plugin."""
    from pathlib import Path

    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")
