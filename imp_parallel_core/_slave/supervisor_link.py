"""The runner's session with its supervisor, over the wire."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence

from .._light_typing import TYPE_CHECKING
from .._wire import descriptors, protocol
from .._wire.protocol import Message
from .._wire.session import LARGE_READ_BYTES, READ_BYTES, Session
from .._wire.shared_memory import IS_AVAILABLE, checked

if TYPE_CHECKING:
    from .._wire.shared_memory import Segment


class SupervisorLink:
    """The session with the supervisor. Its methods wait, since a runner has nothing else to do.

    Args:
        wire: the runner's end of the wire.
        received: called with each message.
    """

    def __init__(self, wire: socket.socket, received: Callable[[Message], None]) -> None:
        self._wire = wire
        self._received = received
        self._session = Session(adopt=checked)
        self._session.passes_descriptors = IS_AVAILABLE
        self._read_bytes = READ_BYTES

    def wait_for_welcome(self) -> bytes:
        """Return what the supervisor's WELCOME says."""
        while not (frames := self._session.take_handshake()):
            self.read()
        ((_, welcome),) = frames
        return welcome

    def answer_welcome(self, hello: bytes) -> None:
        """Send the HELLO that tells the supervisor that this runner is ready."""
        self._session.send_control(protocol.HELLO, hello)
        self._write()

    def read(self, flags: int = 0) -> None:
        """Take what the supervisor has sent, or sends next. Raises SystemExit at the wire's end."""
        data, passed = descriptors.receive(self._wire, self._read_bytes, flags)
        if not data:
            raise SystemExit
        self._read_bytes = LARGE_READ_BYTES if len(data) >= READ_BYTES else READ_BYTES
        for message in self._session.receive(data, passed):
            self._received(message)

    def read_what_is_there(self) -> None:
        """Take what the supervisor has sent, and don't wait if that is nothing."""
        with contextlib.suppress(BlockingIOError):
            self.read(socket.MSG_DONTWAIT)

    def send(self, kind: int, head: bytes, segments: Sequence[Segment] = ()) -> None:
        """Send a message, and wait until it has been written."""
        self._session.send(kind, head, segments)
        self._write()

    def _write(self) -> None:
        session = self._session
        while session.has_unsent:
            buffers = session.unsent()
            with contextlib.suppress(BlockingIOError):  # too many descriptors are in flight
                count = descriptors.send(self._wire, buffers, session.unsent_descriptors)
                session.wrote(count)
