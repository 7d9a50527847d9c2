"""The plugin's hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imp_parallel_core import Accept, Bootstrap, Launch, Slave, hookimpl


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    """Start slaves on a cluster."""
    from . import SlurmSlaveArray, SlurmStepSlaveArray

    if isinstance(slaves, SlurmSlaveArray):
        from imp_parallel_batch import launch_array

        return launch_array(slaves, bootstraps)
    if isinstance(slaves, SlurmStepSlaveArray):
        from ._step_launch import StepLaunch

        return StepLaunch(bootstraps, accept)
    return None


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave classes of this plugin."""
    from . import SlurmSlaveArray, SlurmStepSlaveArray

    return {"SlurmSlaveArray": SlurmSlaveArray, "SlurmStepSlaveArray": SlurmStepSlaveArray}


@hookimpl
def imp_parallel_explanations() -> str:
    """Return what explains the errors and warnings of this plugin."""
    from pathlib import Path

    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")
