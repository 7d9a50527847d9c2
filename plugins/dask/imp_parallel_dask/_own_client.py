"""A client for slaves that are described by the address of a cluster."""

from __future__ import annotations

import socket

from distributed import Client

from imp_parallel_core import LaunchError, explained, printable

_CONNECT_S = 10.0  # Dask tries again and again meanwhile: the scheduler may be starting
_ANSWER_S = 2.0


def connected_to(address: str) -> Client:
    """Return a client that is connected to the scheduler at an address; whoever asks closes it.

    Dask's configuration says how it proves who it is, and whom it trusts.
    Raises LaunchError if the scheduler can't be reached.
    """
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)
    except Exception as problem:  # Dask has many kinds
        why = printable(f"{type(problem).__name__}: {problem}{_obstacle_to(address)}")
        text = (
            f"can't reach the Dask cluster at {printable(address)}: {why}. Does its scheduler run "
            "there? It says its address when it starts. If it uses TLS, Dask's configuration must "
            "name the certificates, or give DaskSlaveArray a distributed.Client(…) with them."
        )
        raise LaunchError(explained(text, "dask-unreachable")) from problem


def _obstacle_to(address: str) -> str:
    """Return what the system says of a connection to there, which Dask does not; "" if it works."""
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme not in ("", "tcp", "tls") or not port.isdecimal():
        return ""
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S):
            return ""
    except (OSError, ValueError, OverflowError) as problem:
        return f" ({problem})"
