"""Slaves on this machine. No port is opened: master and slave share a socket pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imp_parallel_core import Accept, Bootstrap, Launch, Slave, hookimpl

from ._local_slave import LocalSlave

__all__ = ["LocalSlave"]


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    """Start local slaves."""
    if not isinstance(slaves, LocalSlave):
        return None
    from imp_parallel_core import start_processes  # not before a slave is started

    return start_processes(bootstraps, accept)


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave class of this plugin."""
    return {"LocalSlave": LocalSlave}
