"""Slaves on machines that answer to SSH; and clusters behind a login node.

Every script loads this package where it is installed, also one that has no use for it; so its names
are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._ssh_host import SSHHost
    from ._ssh_slave import SSHSlave, SSHSlaveArray

__all__ = ["SSHHost", "SSHSlave", "SSHSlaveArray"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _ssh_host, _ssh_slave

    value = getattr(_ssh_host if name == "SSHHost" else _ssh_slave, name)
    globals()[name] = value
    return value
