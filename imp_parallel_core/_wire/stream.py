"""Bytes to and from a peer: the Stream protocol, one made of a socket, and how both ends use it."""

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
    """One slave's bytes, in both directions. A transport or a launch makes it.

    Called by the engine thread only (on a slave: by the supervisor); no method may wait.
    """

    resumable: bool
    """Whether another stream can take its place when it ends or breaks, so that the session goes on
    over that one. If not, its end is the slave's."""

    def fileno(self) -> int | None:
        """Return a descriptor that can be selected for reading and writing.

        None if there is no such thing; then the stream calls :meth:`on_wake_up`'s callback.
        """

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        """Take a function to call, from any thread, when there may be something to read or write.

        A stream that has a descriptor never calls it.
        """

    def receive(self, limit_bytes: int) -> bytes:
        """Return what has arrived, up to a limit; ``b""`` at the end of the stream.

        Raises BlockingIOError if nothing is there, another OSError if the stream is broken.
        """

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Write the start of these buffers, and return how many bytes were taken.

        Raises BlockingIOError if nothing can be taken now, another OSError if it is broken.
        """

    def close(self) -> None:
        """Close it; may be called twice."""


Accept = Callable[[int, Stream], None]
"""Takes a slave's index and a stream whose peer is that slave; may be called from any thread."""


class SocketStream:
    """A Stream that is a connected stream socket, and can't be made again.

    Over a Unix socket it can pass descriptors beside the bytes.
    """

    resumable = False

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self.passes_descriptors = (
            IS_AVAILABLE and connected.family == socket.AF_UNIX and not self.resumable
        )
        """Whether ``take_descriptors`` and ``send_with`` may be called: an optional capability, for
        streams that can't be made again."""
        self._passed: list[SharedBytes] = []

    def fileno(self) -> int | None:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        """Do nothing: the descriptor can be selected."""

    def receive(self, limit_bytes: int) -> bytes:
        """Return what has arrived; see :class:`Stream`."""
        if not self.passes_descriptors:
            return self._socket.recv(limit_bytes)
        data, passed = descriptors.receive(self._socket, limit_bytes)
        if passed:
            self._passed += passed
        return data

    def take_descriptors(self) -> Sequence[SharedBytes]:
        """Return the descriptors that came with what was received since the last call."""
        if not self._passed:
            return ()
        passed, self._passed = self._passed, []
        return passed

    def send(self, buffers: Sequence[Buffer]) -> int:
        """Write what can be written; see :class:`Stream`."""
        return self._socket.sendmsg(buffers)

    def send_with(self, buffers: Sequence[Buffer], passed: Sequence[SharedBytes]) -> int:
        """Write what can be written, and pass descriptors with the first byte."""
        return descriptors.send(self._socket, buffers, passed)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
