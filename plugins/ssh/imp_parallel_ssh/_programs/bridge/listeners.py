"""Whether a process listens at a Unix socket."""

from __future__ import annotations

import os
import socket

_LISTENING = b"00010000"  # among the flags of a socket, as Linux prints them


def is_heard(address: str) -> bool:
    """Return whether a process listens at an address. Raises OSError if there is no such socket.

    A slave that waits for its master would take a connection for the master's: so none is made to a
    socket if the kernel's list names it. (To connect where nobody listens does no harm.)
    """
    return _is_listed(address) or _answers(address)


def _is_listed(address: str) -> bool:
    """Return whether the kernel lists a listener; on other systems than Linux there is no list."""
    try:
        with open("/proc/net/unix", "rb") as file:
            sockets = [line.rstrip(b"\n").split(None, 7) for line in file]
    except OSError:
        return False
    folder, _, name = os.fsencode(address).rpartition(b"/")
    end = b"/" + os.path.basename(folder) + b"/" + name  # however its parent was called
    return any(
        len(words) == 8 and words[3] == _LISTENING and words[7].endswith(end) for words in sockets
    )


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            return False
        return True
