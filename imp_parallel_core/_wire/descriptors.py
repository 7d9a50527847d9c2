"""Pass descriptors beside the bytes of a Unix socket.

Descriptors arrive with the first of the bytes that they were sent with, never later.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from struct import Struct

from .._light_typing import TYPE_CHECKING
from .shared_memory import SharedBytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .types import Buffer

_INT = Struct("@i")
_AT_ONCE = 253  # the system's limit
_PAUSE_S = 0.01


def send(connected: socket.socket, buffers: Sequence[Buffer], passed: Sequence[SharedBytes]) -> int:
    """Write the start of these buffers, and pass descriptors with the first byte.

    Returns how many bytes were taken. Raises what ``sendmsg`` raises, and BlockingIOError if so
    many descriptors of this user are in flight that the system takes no more.
    """
    if not passed:
        return connected.sendmsg(buffers)
    rights = b"".join([_INT.pack(one.fileno()) for one in passed])
    try:
        return connected.sendmsg(buffers, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    except OSError as problem:
        if problem.errno != errno.ETOOMANYREFS:
            raise
        time.sleep(_PAUSE_S)  # no event tells when there is room; don't keep a core busy asking
        raise BlockingIOError from problem


def receive(
    connected: socket.socket, limit_bytes: int, flags: int = 0
) -> tuple[bytes, list[SharedBytes]]:
    """Return the bytes that have arrived, and the descriptors that came with them.

    Raises what ``recvmsg`` raises, and OSError if descriptors came that can't be taken.
    """
    data, ancillary, said, _ = connected.recvmsg(limit_bytes, _ROOM, flags | _CLOSE_ON_EXEC)
    if not ancillary:
        if said & socket.MSG_CTRUNC:
            raise _too_many()
        return data, _NONE
    passed = [
        SharedBytes(number)
        for level, kind, content in ancillary
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        for (number,) in _INT.iter_unpack(content[: len(content) // _INT.size * _INT.size])
    ]
    if said & socket.MSG_CTRUNC:
        raise _too_many()
    return data, passed


def _too_many() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


_NONE: list[SharedBytes] = []
_ROOM = socket.CMSG_SPACE(_AT_ONCE * _INT.size)
_CLOSE_ON_EXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))  # (an enum's "or" takes longer)
