"""A TLS connection as the core's Stream; used by both ends."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    Buffer = bytes | bytearray | memoryview

_RECORD_BYTES = 16 * 1024  # the most that one read gives
_CHUNK_BYTES = 64 * 1024  # given to one write, which makes records of it

# For a peer that vanished while nobody's heartbeats would tell; those notice it sooner.
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
_UNACKNOWLEDGED_MS = 30_000


def prepare(connected: socket.socket) -> None:
    """Have a socket send at once, and notice a peer that has vanished."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {**_KEEPALIVE, "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MS}
    for name, value in options.items():
        if hasattr(socket, name):  # not on every system
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class TlsStream:
    """A Stream over a TLS connection whose handshake is complete."""

    resumable = True

    def __init__(self, secured: ssl.SSLSocket, address: str = "") -> None:
        self._socket = secured
        self.address = address
        """The address of the master's by which the slave has come; the master's side knows it."""
        self._begun: Buffer | None = None  # given to a write that could not end

    def fileno(self) -> int | None:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        """Do nothing: the descriptor can be selected."""

    def receive(self, limit_bytes: int) -> bytes:
        """Return what has arrived, up to the limit (of at least 16 KiB).

        Nothing is left behind in the TLS layer, where a selector can't see it: each read has room
        for a whole record.
        """
        data = self._read()
        if len(data) < _RECORD_BYTES:
            return data  # what more there may be can be selected
        pieces, size = [data], len(data)
        while size + _RECORD_BYTES <= limit_bytes:
            try:
                data = self._read()
            except OSError:
                break  # nothing more now; or an end, which the next call will find
            if not data:
                break
            pieces.append(data)
            size += len(data)
        return b"".join(pieces)

    def _read(self) -> bytes:
        try:
            return self._socket.recv(_RECORD_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as problem:
            raise BlockingIOError from problem
        except BrokenPipeError:  # OpenSSL 3.5 answers an end, and the peer has gone already
            return b""

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Write what can be written; see the core's Stream.

        What a write could not end has to be written again as it was. So it is kept here, though
        the caller, to whom it counts as not taken, gives the same bytes again.
        """
        total = 0
        skip = 0
        try:
            if self._begun is not None:
                total = skip = self._write(self._begun)
            for chunk in _chunks(buffers, skip):
                count = self._write(chunk)
                total += count
                if count < len(chunk):
                    break
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as problem:
            if not total:
                raise BlockingIOError from problem
        return total

    def _write(self, chunk: Buffer) -> int:
        self._begun = chunk
        count = self._socket.send(chunk)
        self._begun = None
        return count

    def close(self) -> None:
        """Close the socket, without a farewell: a session may go on over another."""
        self._socket.close()


def _chunks(buffers: Sequence[Buffer], skip: int) -> Iterator[Buffer]:
    """Cut and join buffers to chunks that are full, but for the last; leave out ``skip`` bytes.

    Full, since they become records: a short one costs as much as a full one, at both ends.
    """
    pieces: list[Buffer] = []
    room = _CHUNK_BYTES
    for buffer in buffers:
        if skip >= len(buffer):
            skip -= len(buffer)
            continue
        view, at = memoryview(buffer), skip
        skip = 0
        while at < len(view):
            piece = view[at : at + room]
            at += len(piece)
            room -= len(piece)
            pieces.append(piece)
            if not room:
                yield _joined(pieces)
                pieces, room = [], _CHUNK_BYTES
    if pieces:
        yield _joined(pieces)


def _joined(pieces: list[Buffer]) -> Buffer:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
