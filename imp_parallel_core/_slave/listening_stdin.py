"""The master comes to the slave: connections that arrive, in turn, at a listening socket."""

from __future__ import annotations

import select
import socket
import sys

from .._wire.stream import SocketStream

_FIRST_S = 10.0  # the process that started this slave connects at once, or has gone


class ListeningStdin:
    """Standard input, when it is a listening socket: whoever can connect to it gets in.

    A stream that ends makes room for the next one. So whoever wants to replace a connection ends
    it first; the next may be waiting by then.

    Args:
        listening: the socket.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening

    def accept_first(self) -> socket.socket:
        """Return the first connection; end the process if none comes."""
        return self._accept(_FIRST_S)

    def stream_over(self, connected: socket.socket) -> SocketStream:
        """Return a connection as the slave's stream."""
        connected.setblocking(False)
        return _ReplaceableStream(connected)

    def dial(self, patience_s: float) -> SocketStream:
        """Return the next stream; end the process if none comes for so long.

        From here a master that was killed looks like one whose connection has broken. So the slave
        waits for as long as a master tries to reach it.
        """
        return self.stream_over(self._accept(patience_s))

    def _accept(self, patience_s: float) -> socket.socket:
        if not select.select([self._listening], [], [], patience_s)[0]:
            from .master_link import say

            say(f"the master has gone, this slave leaves (nobody came for {patience_s:g} s)")
            sys.exit(0)
        return self._listening.accept()[0]


class _ReplaceableStream(SocketStream):
    """A connection that another can follow."""

    resumable = True
