"""Slaves on machines that answer to SSH; and clusters behind a login node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imp_parallel_core import Accept, Bootstrap, Launch, Slave, hookimpl

from ._ssh_host import SSHHost
from ._ssh_slave import SSHSlave, SSHSlaveArray

__all__ = ["SSHHost", "SSHSlave", "SSHSlaveArray"]


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    """Start slaves by SSH."""
    if not isinstance(slaves, (SSHSlave, SSHSlaveArray)):
        return None
    from ._ssh_launch import SSHLaunch

    return SSHLaunch(slaves, bootstraps, accept)


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave classes of this plugin."""
    return {"SSHSlave": SSHSlave, "SSHSlaveArray": SSHSlaveArray}
