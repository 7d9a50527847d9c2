"""A client for slaves that are described by the address of a cluster."""

from __future__ import annotations

from distributed import Client

from imp_parallel_core import LaunchError, explained, printable

_CONNECT_S = 10.0


def connected_to(address: str) -> Client:
    """Return a client that is connected to the scheduler at an address; whoever asks closes it.

    Dask's configuration says how it proves who it is, and whom it trusts.
    Raises LaunchError if the scheduler can't be reached.
    """
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)
    except Exception as problem:  # Dask has many kinds
        why = printable(f"{type(problem).__name__}: {problem}")
        text = (
            f"can't reach the Dask cluster at {printable(address)}: {why}. Does its scheduler run "
            "there? It says its address when it starts. If it uses TLS, Dask's configuration must "
            "name the certificates, or give DaskSlaveArray a distributed.Client(…) with them."
        )
        raise LaunchError(explained(text, "dask-unreachable")) from problem
