"""One end of a wire: the session of numbered messages that both ends share.

Sans-I/O: :meth:`Connection.receive` takes the bytes that came, :meth:`Connection.unsent` gives
those to write. The same class serves master and supervisor, supervisor and runner.

A session outlives its stream if the stream's transport can make another (``resumable``): messages
are counted in both directions and kept until the peer acknowledges them; after a new stream is
made, each end says how many it has received, and the other sends again what is missing. So each
message is delivered once and in order, wherever the bytes were cut.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

from . import _protocol as protocol
from ._errors import ProtocolError
from ._protocol import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._protocol import Buffer

_WRITE_BYTES = 1024 * 1024  # how much is committed to one write; a heartbeat waits for no more
_WRITE_BUFFERS = 64  # buffers to one write; the system's limit (IOV_MAX) is 1024
_ACK_MESSAGES = 64
_ACK_BYTES = 1024 * 1024


class Connection:
    """The messages of one session, over one stream or several in turn.

    Args:
        resumable: keep what was sent until the peer has it, for a stream that can be made again.
        limit_bytes: the largest message that is accepted.
    """

    def __init__(
        self, *, resumable: bool = False, limit_bytes: int = protocol.MESSAGE_LIMIT_BYTES
    ) -> None:
        self.resumable = resumable
        self.received = 0
        """How many messages have been received in this session."""
        self.handshake: list[tuple[int, bytes]] = []
        """Handshake frames that have arrived (kind, body); their reader removes them."""
        self._decoder = protocol.Decoder(limit_bytes)
        self._sent = 0
        self._unacknowledged: deque[list[tuple[Buffer, ...]]] = deque()
        self._control: deque[bytes] = deque()  # passes between the frames of messages
        self._frames: deque[tuple[Buffer, ...]] = deque()
        self._committed: deque[memoryview] = deque()  # whole frames, perhaps half written
        self._since_ack_messages = 0
        self._since_ack_bytes = 0

    # ---- sending

    def send(self, kind: int, head: bytes = b"", segments: Sequence[Buffer] = ()) -> None:
        """Queue a message. Raises ValueError if its head is too large."""
        frames = protocol.encode_message(Message(kind, head, segments))
        self._sent += 1
        if self.resumable:
            self._unacknowledged.append(frames)
        self._frames.extend(frames)

    def send_control(self, kind: int, body: bytes = b"") -> None:
        """Queue a frame that is no message (handshake, PING); it overtakes queued messages."""
        self._control.append(protocol.encode_frame(kind, body))

    @property
    def has_unsent(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._committed or self._control or self._frames)

    def unsent(self) -> list[memoryview]:
        """Return buffers to write next, in order; then tell :meth:`wrote` how much was taken."""
        committed = self._committed
        if not committed:
            size = 0
            while self._control:
                frame = self._control.popleft()
                committed.append(memoryview(frame))
                size += len(frame)
            while self._frames and size < _WRITE_BYTES and len(committed) < _WRITE_BUFFERS:
                for buffer in self._frames.popleft():
                    view = memoryview(buffer).cast("B")
                    committed.append(view)
                    size += len(view)
        return list(committed)

    def wrote(self, count: int) -> None:
        """Take note that the first ``count`` bytes of :meth:`unsent` have been written."""
        committed = self._committed
        while count:
            first = committed[0]
            if count < len(first):
                committed[0] = first[count:]
                return
            count -= len(first)
            committed.popleft()
        while committed and not committed[0]:
            committed.popleft()

    # ---- receiving

    def receive(self, data: Buffer) -> list[Message]:
        """Take the bytes that arrived; return the messages that they complete.

        Raises ProtocolError if the peer breaks the protocol; drop the stream then.
        """
        messages: list[Message] = []
        for kind, content in self._decoder.feed(data):
            if isinstance(content, Message):
                messages.append(content)
            elif kind == protocol.ACK:
                self._acknowledged(protocol.decode_ack(content))
            elif kind != protocol.PING:
                self.handshake.append((kind, content))
        self.received += len(messages)
        if self.resumable:
            self._acknowledge(len(messages), len(data))
        return messages

    def _acknowledge(self, messages: int, size: int) -> None:
        self._since_ack_messages += messages
        if not self._since_ack_messages:
            return  # a large message is on its way: there is nothing new to say
        self._since_ack_bytes += size
        if self._since_ack_messages >= _ACK_MESSAGES or self._since_ack_bytes >= _ACK_BYTES:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Tell the peer now what has been received (also done every so many messages)."""
        if self.resumable and self._since_ack_messages:
            self._control.append(protocol.encode_ack(self.received))
            self._since_ack_messages = self._since_ack_bytes = 0

    def _acknowledged(self, count: int) -> None:
        first_kept = self._sent - len(self._unacknowledged)
        if not first_kept <= count <= self._sent:
            raise ProtocolError(
                f"the peer says it has {count} messages; {first_kept} to {self._sent} are possible"
            )
        for _ in range(count - first_kept):
            self._unacknowledged.popleft()

    # ---- the stream's end, and another stream

    def lost_stream(self) -> None:
        """The stream has gone: forget what was half received and half written."""
        self._decoder.reset()
        self.handshake.clear()
        for queue in (self._control, self._frames, self._committed):
            queue.clear()
        self._since_ack_messages = self._since_ack_bytes = 0

    def resume(self, peer_received: int) -> None:
        """A new stream is there, and the peer has said what it had received: send the rest.

        Raises ProtocolError if that number is impossible.
        """
        self._acknowledged(peer_received)
        self._frames = deque(chain.from_iterable(self._unacknowledged))
