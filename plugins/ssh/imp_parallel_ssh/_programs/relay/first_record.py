"""Whether the first TLS record of a connection has come: only then its peer has said something."""

import socket
import struct

_HEAD = struct.Struct("!BHH")  # its kind, a version, its length
_HANDSHAKE = 22
_LIMIT_BYTES = 1 << 14


def has_come(sock: socket.socket) -> bool:
    """Return whether a whole record has come, or what can't become one, or no more will come.

    If not, the system is told to wake nobody before it is there. What has come stays where it is.
    """
    said = sock.recv(_HEAD.size, socket.MSG_PEEK)
    if not said or said[0] != _HANDSHAKE:
        return True
    wanted = _HEAD.size
    if len(said) == wanted:
        length = _HEAD.unpack(said)[2]
        if length > _LIMIT_BYTES:
            return True
        wanted += length
        if len(sock.recv(wanted, socket.MSG_PEEK)) == wanted:
            return True
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == wanted:
        return True  # it has been woken nevertheless: the peer has gone
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
    return False


def wake_for_a_byte(sock: socket.socket) -> None:
    """Have the system say of any byte again that it is there."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
