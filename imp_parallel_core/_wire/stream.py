"""Bytes to and from a peer: the Stream protocol, and a stream over a socket."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from .._light_typing import TYPE_CHECKING, Protocol
from . import descriptors
from .shared_memory import IS_AVAILABLE

if TYPE_CHECKING:
    from .shared_memory import SharedBytes
    from .types import Buffer


class Stream(Protocol):
    """The bytes to and from one slave. A transport or a launch makes the stream.

    Only the engine's thread calls a stream (on a slave: the supervisor). No method may wait.
    """

    resumable: bool
    """Whether another stream can follow when this one ends or breaks, so that the session goes on
    over that one. If not, the slave ends with its stream."""

    def fileno(self) -> int | None:
        """Return a descriptor that can be selected for reading and writing.

        A stream that returns None calls the callback of :meth:`on_wake_up` instead.
        """

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        """Take a function to call, from any thread, when bytes may be there to read or write.

        A stream that has a descriptor never calls the function.
        """

    def receive(self, limit_bytes: int) -> bytes:
        """Return the bytes that have arrived, up to a limit; ``b""`` at the end of the stream.

        Raises BlockingIOError if nothing has arrived, another OSError if the stream is broken.
        """

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Write the start of these buffers; return how many bytes were taken.

        Raises BlockingIOError if nothing can be taken now, another OSError if the stream is broken.
        """

    def close(self) -> None:
        """Close the stream; may be called twice."""


Accept = Callable[[int, Stream], None]
"""A function that takes a slave's index and the stream to that slave. Any thread may call it."""


class SocketStream:
    """A Stream over a connected stream socket; no other stream can follow.

    Over a Unix socket, the stream can pass descriptors beside the bytes.
    """

    resumable = False

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self.passes_descriptors = (
            IS_AVAILABLE and connected.family == socket.AF_UNIX and not self.resumable
        )
        """Whether ``take_descriptors`` and ``send_with`` may be called. This is an optional
        capability of streams that no other stream can follow."""
        self._passed: list[SharedBytes] = []

    def fileno(self) -> int | None:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        """Do nothing: the descriptor can be selected."""

    def receive(self, limit_bytes: int) -> bytes:
        """Return the bytes that have arrived; see :class:`Stream`."""
        if not self.passes_descriptors:
            return self._socket.recv(limit_bytes)
        data, passed = descriptors.receive(self._socket, limit_bytes)
        if passed:
            self._passed += passed
        return data

    def take_descriptors(self) -> Sequence[SharedBytes]:
        """Return the descriptors that have arrived since the last call."""
        if not self._passed:
            return ()
        passed, self._passed = self._passed, []
        return passed

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Write the start of these buffers; see :class:`Stream`."""
        return self._socket.sendmsg(buffers)

    def send_with(self, buffers: Sequence[Buffer], passed: Sequence[SharedBytes]) -> int:
        """Write the start of these buffers, and pass descriptors with the first byte."""
        return descriptors.send(self._socket, buffers, passed)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
