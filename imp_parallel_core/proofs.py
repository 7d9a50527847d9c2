"""Who connects to this process, from within it, for somebody who has proved nothing yet.

What carries connections of strangers to a transport, such as a relay's end, must not take more
than a few of this process's descriptors for them. It learns here which of its connections have
proved that they belong to the run: the transport that listens knows.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

_lock = threading.Lock()
_awaited: dict[tuple[str, int], Callable[[], None]] = {}


def expect_proof(address: Any, proved: Callable[[], None]) -> None:
    """Be told when a connection of this process has proved that it belongs to the run.

    Called by who has made the connection, before anything is sent.

    Args:
        address: its own end's, as ``getsockname()`` gives it.
        proved: called once, from any thread; it must not wait.
    """
    with _lock:
        _awaited[_key(address)] = proved


def expect_none(address: Any) -> None:
    """Forget a connection: it has ended."""
    with _lock:
        _awaited.pop(_key(address), None)


def note_proof(address: Any) -> None:
    """Tell that a connection has proved that it belongs to the run; called by a transport.

    Args:
        address: its peer's, as ``getpeername()`` gives it; most are not of this process.
    """
    with _lock:
        proved = _awaited.pop(_key(address), None)
    if proved is not None:
        proved()


def _key(address: Any) -> tuple[str, int]:
    """Return a socket's address as both ends call it, whatever the family of their sockets."""
    return str(address[0]).removeprefix("::ffff:"), int(address[1])


def _forked() -> None:
    global _lock
    _lock = threading.Lock()
    _awaited.clear()  # they are the parent's


os.register_at_fork(after_in_child=_forked)
