"""A connection that has not proved anything yet."""

from __future__ import annotations

import socket
import ssl
import time

from ._credentials import RunCredentials
from ._tls import PROOF
from ._tls_stream import TlsStream, prepare


class Newcomer:
    """A connection to the master, on its way to prove that it belongs to the run.

    Until its peer has said something it costs a descriptor and no more.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.since = time.monotonic()
        self.socket = connected
        self._secured: ssl.SSLSocket | None = None
        self._proof = b""
        self._is_secure = False
        connected.setblocking(False)

    def speaks(self, credentials: RunCredentials) -> None:
        """Begin the handshake: its peer has said something, or gone. Raises OSError."""
        self.since = time.monotonic()
        prepare(self.socket)
        self._credentials = credentials
        self.socket = self._secured = credentials.context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def advance(self) -> tuple[int, TlsStream]:
        """Go on with the handshake and the proof; return the slave's index and its stream then.

        Raises ssl.SSLWantReadError or ssl.SSLWantWriteError to wait, another OSError to give up.
        """
        secured = self._secured
        if secured is None:
            raise ConnectionError("it has not said anything")
        if not self._is_secure:
            secured.do_handshake()
            self._is_secure = True
        while len(self._proof) < PROOF.size:
            data = secured.recv(PROOF.size - len(self._proof))
            if not data:
                raise ConnectionError("it ended before it had proved which slave it is")
            self._proof += data
        if secured.pending():
            raise ConnectionError("it said more than its proof")
        index, token = PROOF.unpack(self._proof)
        self._credentials.check(index, token)
        return int(index), TlsStream(secured)
