"""A stream in an event loop, and the session over it: one end of a wire.

The master has one for each slave; a slave's supervisor has one to the master and one to its runner.
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
    """One end of a wire.

    Args:
        stream: the bytes.
        selector: the loop's; the data that it is registered with is called with the events.
        greeted: called with the kind and body of each handshake frame.
        received: called with each message.
        ended: called once, with how, when the stream has ended or broken; not after :meth:`close`.
        wake: runs a function in the loop's thread; needed for streams without a descriptor only.
        session: the session to go on with, if it began over another stream; or the one to
            begin, if it is to be of a particular kind.
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
        """Whether this end of the stream can; see ``passes_descriptors`` of the session."""
        self._descriptor = stream.fileno()
        if self._descriptor is not None:
            selector.register(self._descriptor, selectors.EVENT_READ, self._ready)
        elif wake is not None:
            stream.on_wake_up(lambda: wake(self._woken))
            wake(self._woken)  # something may have arrived before it could say so

    def send(self, kind: int, head: bytes = b"", segments: Sequence[Segment] = ()) -> None:
        """Queue a message, to be written by :meth:`flush`."""
        self.session.send(kind, head, segments)

    def flush(self) -> None:
        """Write what is queued, as far as it is taken without waiting; the rest follows."""
        if not self.is_open:
            return
        session, is_done = self.session, True
        try:
            while session.has_unsent:
                session.wrote(self._send())
        except BlockingIOError:
            is_done = False
        except OSError:
            return  # reading will tell, and first give what the peer still had to say
        except Exception as problem:  # a plugin's
            self._end(_failure("its stream failed", problem))
            return
        self._want_to_write(not is_done)

    def _send(self) -> int:
        buffers = self.session.unsent()
        descriptors = self.session.unsent_descriptors
        if not descriptors:
            return self._stream.send(buffers)
        count: int = self._stream.send_with(buffers, descriptors)  # type: ignore[attr-defined]  # its capability was asked for
        return count

    def read_rest(self) -> None:
        """Read what has arrived: the peer has ended, but what it said before counts."""
        while self.is_open and self._read():
            pass

    def resume(self, earlier: Link, peer_received: int) -> None:
        """Go on with the session of an earlier link, over this one's stream, after its HELLO.

        Raises ProtocolError if the peer can't have received so many messages of it.
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
                self.session.lost_stream()  # what it holds is needed no more, and may be large

    def abandon(self) -> None:
        """Close this process's end of the stream, and leave the selector as it is."""
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
        """Read once, and pass on what has come; return whether there may be more."""
        try:
            data = self._stream.receive(self._read_bytes)
        except BlockingIOError:
            return False
        except OSError as problem:
            self._end(f"its connection broke: {problem}")
            return False
        except Exception as problem:  # a plugin's
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
        except Exception as problem:  # no memory for it; or a stream that gives something else
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
        descriptors: Sequence[SharedBytes] = self._stream.take_descriptors()  # type: ignore[attr-defined]  # likewise
        return descriptors

    def _end(self, how: str) -> None:
        self.close()
        self._ended(self, how)


def close_quietly(stream: Stream) -> None:
    """Close a stream, which may be a plugin's and fail."""
    try:
        stream.close()
    except Exception:  # noqa: S110  it is of no use any more, in whatever state
        pass


def _failure(what: str, problem: Exception) -> str:
    return f"{what}: {type(problem).__name__}: {problem}"
