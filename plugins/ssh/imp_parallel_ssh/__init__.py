"""Slaves on machines that answer to SSH; and clusters behind a login node.

Every script loads this package where it is installed, also one that has no use for it; so its names
are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._login_node.ssh_host import SSHHost
    from ._slaves.descriptions import SSHSlave, SSHSlaveArray

__all__ = ["SSHHost", "SSHSlave", "SSHSlaveArray"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._login_node import ssh_host as _ssh_host
    from ._slaves import descriptions as _ssh_slave

    value = getattr(_ssh_host if name == "SSHHost" else _ssh_slave, name)
    globals()[name] = value
    return value
