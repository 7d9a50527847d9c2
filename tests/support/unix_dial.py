"""The slave's side of the transport in :mod:`.unix_transport`: it needs nothing else."""

from __future__ import annotations

import base64
import socket
import sys
import time
from typing import Any

from imp_parallel_core import SocketStream

_PAUSE_S = 0.1


class ResumableStream(SocketStream):
    """A stream that another one can follow."""

    resumable = True


def dial(document: dict[str, Any], patience_s: float) -> SocketStream:
    """Reach the master; the stream is the slave's only one."""
    return SocketStream(reach(document, patience_s))


def dial_again(document: dict[str, Any], patience_s: float) -> SocketStream:
    """Reach the master; another stream can follow this one."""
    return ResumableStream(reach(document, patience_s))


def reach(document: dict[str, Any], patience_s: float) -> socket.socket:
    """Show the master the secret and the slave's number, and wait until it says yes."""
    deadline = time.monotonic() + patience_s
    (address,) = document["addresses"]
    greeting = base64.b64decode(document["secret"]) + document["index"].to_bytes(2, "big")
    while True:
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(patience_s)
        try:
            connected.connect(address)
            connected.sendall(greeting)
            if connected.recv(1) == b"y":
                return connected
            problem = "it was refused"
        except OSError as found:
            problem = str(found)
        connected.close()
        if time.monotonic() > deadline:
            sys.exit(f"imp_parallel: the master can't be reached at {address!r}: {problem}")
        time.sleep(_PAUSE_S)
