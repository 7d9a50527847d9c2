"""A link: a stream in an event loop, and the session over that stream.

The master has a link to each slave. A supervisor has one to the master and one to its runner.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Sequence

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING
from .session import LARGE_READ_BYTES, READ_BYTES, Session

if TYPE_CHECKING:
    from .protocol import Message
    from .shared_memory import Segment, SharedBytes
    from .stream import Stream


class Link:
    """One end of a stream, and of the session over it.

    Args:
        stream: the stream.
        selector: the selector of the loop, which calls the data of each key with the events.
        greeted: called with the kind and the body of each handshake frame.
        received: called with each message.
        ended: called once with the reason when the stream ends or breaks; never after
            :meth:`close`.
        wake: runs a function in the loop's thread. Only streams without a descriptor need this.
        session: a session that began over another stream, or a new one with options of its own.
            By default, a new session begins.
    """

    def __init__(
        self,
        stream: Stream,
        selector: selectors.BaseSelector,
        *,
        greeted: Callable[[Link, int, bytes], None],
        received: Callable[[Link, Message], None],
        ended: Callable[[Link, str], None],
        wake: Callable[[Callable[[], None]], None] | None = None,
        session: Session | None = None,
    ) -> None:
        self.session = session or Session(resumable=stream.resumable)
        self.heard_at = time.monotonic()
        self.is_open = True
        self._read_bytes = READ_BYTES
        self._wants_to_write = False
        self._stream = stream
        self._selector = selector
        self._greeted = greeted
        self._received = received
        self._ended = ended
        can_pass: bool = getattr(stream, "passes_descriptors", False)
        self.can_pass_descriptors = can_pass and not stream.resumable
        """Whether this end of the stream can pass descriptors. See
        :attr:`.session.Session.passes_descriptors` for both ends."""
        self._descriptor = stream.fileno()
        if self._descriptor is not None:
            selector.register(self._descriptor, selectors.EVENT_READ, self._ready)
        elif wake is not None:
            stream.on_wake_up(lambda: wake(self._woken))
            wake(self._woken)  # bytes may have arrived before the callback was set

    @property
    def address(self) -> str:
        """The address by which the peer has come, if the stream tells."""
        return str(getattr(self._stream, "address", ""))

    def send(self, kind: int, head: bytes = b"", segments: Sequence[Segment] = ()) -> None:
        """Queue a message; :meth:`flush` writes it."""
        self.session.send(kind, head, segments)

    def flush(self) -> None:
        """Write as much as the stream takes without waiting; the loop writes the rest."""
        if not self.is_open:
            return
        session, is_done = self.session, True
        try:
            while session.has_unsent:
                session.wrote(self._send())
        except BlockingIOError:
            is_done = False
        except OSError:
            return  # reading returns what the peer still had to say, and then fails, too
        except Exception as problem:  # the stream may be a plugin's
            self._end(_failure("its stream failed", problem))
            return
        self._want_to_write(not is_done)

    def _send(self) -> int:
        buffers = self.session.unsent()
        descriptors = self.session.unsent_descriptors
        if not descriptors:
            return self._stream.send(buffers)
        count: int = self._stream.send_with(buffers, descriptors)  # type: ignore[attr-defined]  # both ends can pass descriptors
        return count

    def read_rest(self) -> None:
        """Read all that has arrived: what a peer sent before its end counts."""
        while self.is_open and self._read():
            pass

    def resume(self, earlier: Link, peer_received: int) -> None:
        """Take over the session of an earlier link. This link has received a HELLO, no more.

        Raises ProtocolError if the peer can't have received that many messages of the session.
        """
        earlier.close()
        earlier.session.continue_over(self.session)
        self.session = earlier.session
        self.session.resume(peer_received)

    def close(self) -> None:
        """Close the stream; may be called twice."""
        if self.is_open:
            self.is_open = False
            if self._descriptor is not None:
                self._selector.unregister(self._descriptor)
            close_quietly(self._stream)
            if not self.session.resumable:
                self.session.lost_stream()  # frees queued messages, which may be large

    def abandon(self) -> None:
        """Close the stream, but leave the selector alone: a forked child shares it."""
        self.is_open = False
        close_quietly(self._stream)

    def _want_to_write(self, wanted: bool) -> None:
        if self._descriptor is None or wanted == self._wants_to_write:
            return
        self._wants_to_write = wanted
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        self._selector.modify(self._descriptor, events, self._ready)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_READ and self.is_open:
            self._read()
        owes_ack = self.session.resumable and self.session.has_unsent
        if events & selectors.EVENT_WRITE or owes_ack:
            self.flush()

    def _woken(self) -> None:
        self.read_rest()
        self.flush()

    def _read(self) -> bool:
        """Read once, and pass on what has arrived; return whether there may be more."""
        try:
            data = self._stream.receive(self._read_bytes)
        except BlockingIOError:
            return False
        except OSError as problem:
            self._end(f"its connection broke: {problem}")
            return False
        except Exception as problem:  # the stream may be a plugin's
            self._end(_failure("its stream failed", problem))
            return False
        if not data:
            self._end("its connection ended")
            return False
        self.heard_at = time.monotonic()
        try:
            self._read_bytes = LARGE_READ_BYTES if len(data) >= READ_BYTES else READ_BYTES
            arrived = self.session.receive(data, self._take_descriptors())
        except ProtocolError as problem:
            self._end(f"it broke the protocol: {problem}")
            return False
        except Exception as problem:  # no memory is left, or the stream did not return bytes
            self._end(_failure("what it sent can't be taken", problem))
            return False
        for kind, body in self.session.take_handshake():
            self._greeted(self, kind, body)
        for message in arrived:
            if self.is_open:
                self._received(self, message)
        if self.session.error is not None and self.is_open:
            self._end(f"it broke the protocol: {self.session.error}")
        return True

    def _take_descriptors(self) -> Sequence[SharedBytes]:
        if not self.can_pass_descriptors:
            return ()
        descriptors: Sequence[SharedBytes] = self._stream.take_descriptors()  # type: ignore[attr-defined]  # this end can pass descriptors
        return descriptors

    def _end(self, how: str) -> None:
        self.close()
        self._ended(self, how)


def close_quietly(stream: Stream) -> None:
    """Close a stream, whatever its plugin's code raises."""
    try:
        stream.close()
    except Exception:  # noqa: S110  nobody uses the stream any more, whatever its state is
        pass


def _failure(what: str, problem: Exception) -> str:
    return f"{what}: {type(problem).__name__}: {problem}"
