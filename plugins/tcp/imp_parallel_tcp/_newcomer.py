"""A connection that has not proved anything yet."""

from __future__ import annotations

import socket
import ssl
import time

from ._tls import INDEX, Credentials
from ._tls_stream import TlsStream, prepare


class Newcomer:
    """A connection to the master, on its way to prove that it belongs to the run.

    Until its peer has said something it costs a descriptor and no more.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.since = time.monotonic()
        self.socket = connected
        self._secured: ssl.SSLSocket | None = None
        self._index = b""
        self._is_secure = False
        connected.setblocking(False)

    def speaks(self, credentials: Credentials) -> None:
        """Begin the handshake: its peer has said something, or gone. Raises OSError."""
        self.since = time.monotonic()
        prepare(self.socket)
        self._credentials = credentials
        self.socket = self._secured = credentials.context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def advance(self) -> tuple[int, TlsStream]:
        """Go on with the handshake; return the slave's index and its stream when it is complete.

        Raises ssl.SSLWantReadError or ssl.SSLWantWriteError to wait, another OSError to give up.
        """
        secured = self._secured
        if secured is None:
            raise ConnectionError("it has not said anything")
        if not self._is_secure:
            secured.do_handshake()
            self._credentials.check(secured)
            self._is_secure = True
        while len(self._index) < INDEX.size:
            data = secured.recv(INDEX.size - len(self._index))
            if not data:
                raise ConnectionError("it ended before it had said which slave it is")
            self._index += data
        if secured.pending():
            raise ConnectionError("it said more than its index")
        return int(INDEX.unpack(self._index)[0]), TlsStream(secured)
