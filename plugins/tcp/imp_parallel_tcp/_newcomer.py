"""A connection that has not proved anything yet."""

from __future__ import annotations

import socket
import ssl
import time
from struct import Struct

from ._addresses import join_address
from ._credentials import RunCredentials
from ._tls import PROOF
from ._tls_stream import TlsStream, prepare

_RECORD_HEAD = Struct("!BHH")  # its kind, a version, its length
_HANDSHAKE_RECORD = 22
_RECORD_LIMIT_BYTES = 1 << 14
_IPV4_AS_IPV6 = "::ffff:"  # what one socket for both families calls an address of IPv4


class Newcomer:
    """A connection to the master, on its way to prove that it belongs to the run.

    Until the first TLS record has come it costs a descriptor and no more.

    Args:
        connected: its socket.
        source: where it comes from (see :func:`._turns.source_of`).
    """

    def __init__(self, connected: socket.socket, source: bytes) -> None:
        self.source = source
        self.since = time.monotonic()
        self.socket = connected
        self._secured: ssl.SSLSocket | None = None
        self._proof = b""
        self._wanted = 0  # how many bytes the system waits for
        self._is_secure = False
        connected.setblocking(False)

    def has_greeted(self) -> bool:
        """Whether its peer has said enough to be answered, or has gone.

        That is a whole TLS record, or what can't become one. The system wakes nobody for less: what
        has come of a record stays where it is. Raises OSError.
        """
        said = self.socket.recv(_RECORD_HEAD.size, socket.MSG_PEEK)
        if not said or said[0] != _HANDSHAKE_RECORD:
            return True
        wanted = _RECORD_HEAD.size
        if len(said) == wanted:
            _, _, length = _RECORD_HEAD.unpack(said)
            if length > _RECORD_LIMIT_BYTES:
                return True
            wanted += length
            if len(self.socket.recv(wanted, socket.MSG_PEEK)) >= wanted:
                return True
        if wanted == self._wanted:
            return True  # no more will come
        self._wanted = wanted
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
        return False

    def speaks(self, credentials: RunCredentials) -> None:
        """Begin the handshake: its peer has greeted, or gone. Raises OSError."""
        self.since = time.monotonic()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
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
        host, port = secured.getsockname()[:2]
        address = join_address(host.removeprefix(_IPV4_AS_IPV6), port)
        return int(index), TlsStream(secured, address)
