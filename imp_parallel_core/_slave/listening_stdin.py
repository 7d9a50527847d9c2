"""Standard input as a listening socket, at which the master connects to the slave."""

from __future__ import annotations

import select
import socket
import sys

from .._wire.stream import SocketStream
from .output import say

_FIRST_S = 10.0  # the process that has started this slave connects at once, or has gone


class ListeningStdin:
    """Makes streams of the connections to standard input, one after another.

    Access is whoever may connect to this socket: its folder has mode 0700. The slave accepts a
    connection when the stream before it has ended. So a master that replaces a connection ends the
    old one; the new one may be waiting by then.

    Args:
        listening: the socket.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening

    def accept_first(self) -> socket.socket:
        """Return the first connection; end the process if none comes."""
        return self._accept(_FIRST_S)

    def stream_over(self, connected: socket.socket) -> SocketStream:
        """Return the slave's stream over a connection."""
        connected.setblocking(False)
        return _ReplaceableStream(connected)

    def dial(self, patience_s: float) -> SocketStream:
        """Return the next stream; end the process if nobody connects within so many seconds.

        The slave can't tell a master that was killed from one whose connection has broken. So it
        waits for as long as a master would try to connect.
        """
        return self.stream_over(self._accept(patience_s))

    def _accept(self, patience_s: float) -> socket.socket:
        if not select.select([self._listening], [], [], patience_s)[0]:
            say(f"the master has gone, this slave leaves (nobody came for {patience_s:g} s)")
            sys.exit(0)
        return self._listening.accept()[0]


class _ReplaceableStream(SocketStream):
    """A stream that another one can follow."""

    resumable = True
