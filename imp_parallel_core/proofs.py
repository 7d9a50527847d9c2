"""Which connections of a relay have proved that they belong to the run.

A relay's end in this process connects to a transport for strangers, and must hold only a few of the
process's descriptors for them. The transport that listens knows which connections have proved
themselves, and this module tells the relay.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

_lock = threading.Lock()
_awaited: dict[tuple[str, int], Callable[[], None]] = {}


def expect_proof(address: Any, proved: Callable[[], None]) -> None:
    """Have a function called when a connection has proved that it belongs to the run.

    The relay calls this after it has connected, and before it sends anything.

    Args:
        address: the address of the connection's own end, as ``getsockname()`` returns it.
        proved: called once, in any thread; it must not wait.
    """
    with _lock:
        _awaited[_key(address)] = proved


def expect_none(address: Any) -> None:
    """Forget a connection that has ended."""
    with _lock:
        _awaited.pop(_key(address), None)


def note_proof(address: Any) -> None:
    """Note that a connection has proved that it belongs to the run. The transport calls this.

    Args:
        address: the address of the peer, as ``getpeername()`` returns it. Most peers are not in
            this process.
    """
    with _lock:
        proved = _awaited.pop(_key(address), None)
    if proved is not None:
        proved()


def _key(address: Any) -> tuple[str, int]:
    """Return an address in the same form at both ends, whatever the families of their sockets."""
    return str(address[0]).removeprefix("::ffff:"), int(address[1])


def _forked() -> None:
    global _lock
    _lock = threading.Lock()
    _awaited.clear()  # these connections are the parent's


os.register_at_fork(after_in_child=_forked)
