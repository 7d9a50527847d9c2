"""The master comes to the slave: connections that arrive, in turn, at a listening socket."""

from __future__ import annotations

import select
import socket
import sys
import time

from ._stream import SocketStream

_FIRST_S = 10.0  # whoever started this slave connects at once, or has gone
_GONE_S = 7.0  # with its end, a slave has gone 10 s after its master
_FRESH_S = 10.0  # heartbeats come more often than that, unless they are set to be rare


class Door:
    """Standard input, when it is a listening socket: who may reach it decides who gets in.

    A stream that ends makes room for the next one. So whoever wants to replace a connection ends it
    first; the next may be waiting by then.

    Args:
        listening: the socket.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._stream: _VisitorStream | None = None

    def first(self) -> socket.socket:
        """Return the first connection; end the process if nobody comes."""
        return self._accept(_FIRST_S)

    def welcome(self, connected: socket.socket) -> _VisitorStream:
        """Return a connection as the slave's stream."""
        connected.setblocking(False)
        # a visitor that says nothing is not the master
        heard_at = time.monotonic() if self._stream is None else self._stream.heard_at
        self._stream = _VisitorStream(connected, heard_at)
        return self._stream

    def dial(self, patience_s: float) -> SocketStream:
        """Return the next stream. End the process if none comes; soon, if the master has gone.

        A stream that ended although the master was heard shortly before was ended by somebody: a
        master that lives comes back at once. One that ended after a silence may have been cut.
        """
        heard_at = time.monotonic() if self._stream is None else self._stream.heard_at
        was_silent = time.monotonic() - heard_at > _FRESH_S
        return self.welcome(self._accept(patience_s if was_silent else min(patience_s, _GONE_S)))

    def _accept(self, patience_s: float) -> socket.socket:
        if not select.select([self._listening], [], [], patience_s)[0]:
            from ._home import say

            say(f"the master has gone, this slave leaves (nobody came for {patience_s:g} s)")
            sys.exit(0)
        return self._listening.accept()[0]


class _VisitorStream(SocketStream):
    """A connection that another can follow."""

    resumable = True

    def __init__(self, connected: socket.socket, heard_at: float) -> None:
        super().__init__(connected)
        self.heard_at = heard_at

    def receive(self, limit_bytes: int) -> bytes:
        data = super().receive(limit_bytes)
        if data:
            self.heard_at = time.monotonic()
        return data
