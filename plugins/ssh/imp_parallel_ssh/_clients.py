"""The two clients of SSH, by name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from imp_parallel_core import LaunchError, explained

from ._connection import Connect, Connection
from ._target import parse_target


def _connect_by_paramiko(target: str, timeout_s: float) -> Connection:
    from ._paramiko.load import load_paramiko

    load_paramiko()
    from ._paramiko.connect import connect

    return connect(parse_target(target), timeout_s)


def _connect_by_openssh(target: str, timeout_s: float) -> Connection:
    from ._openssh.connection import OpenSSHConnection

    return OpenSSHConnection(target, timeout_s)


CLIENTS: Mapping[str, Connect] = {
    "paramiko": _connect_by_paramiko,
    "openssh": _connect_by_openssh,
}
"""How each of them connects. The modules that a client needs are loaded when it is used."""


def check_client(name: str) -> None:
    """Raise ValueError if there is no such client."""
    if not isinstance(name, str) or name not in CLIENTS:
        known = " or ".join(f'"{each}"' for each in CLIENTS)
        raise ValueError(f"client={name!r}: it must be {known}")


def check_client_is_installed(name: str) -> None:
    """Raise LaunchError if a client needs a program that is not there."""
    if name == "openssh" and shutil.which("ssh") is None:
        text = 'there is no ssh in the PATH. Install OpenSSH\'s client, or say client="paramiko"'
        raise LaunchError(explained(text, "no-ssh"))
