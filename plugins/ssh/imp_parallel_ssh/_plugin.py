"""The plugin's hooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imp_parallel_core import Accept, Bootstrap, Launch, Slave, hookimpl


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    """Start slaves by SSH."""
    from . import SSHSlave, SSHSlaveArray

    if not isinstance(slaves, (SSHSlave, SSHSlaveArray)):
        return None
    from ._slaves.launch import SSHLaunch

    return SSHLaunch(slaves, bootstraps, accept)


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave classes of this plugin, and its class of login nodes."""
    from . import SSHHost, SSHSlave, SSHSlaveArray

    return {"SSHHost": SSHHost, "SSHSlave": SSHSlave, "SSHSlaveArray": SSHSlaveArray}


@hookimpl
def imp_parallel_explanations() -> str:
    """Return what explains the errors and warnings of this plugin."""
    from pathlib import Path

    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")
