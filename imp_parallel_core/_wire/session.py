"""One end of a session: numbered messages, each delivered once and in order.

Sans-I/O: :meth:`Session.receive` takes the bytes that arrived, and :meth:`Session.unsent` returns
the bytes to write. Master and supervisor use this class, and so do supervisor and runner.

Each stream begins with a handshake, which consists of frames that are not messages. A session
outlives its stream if the transport can make another one (``resumable``): both ends count messages
and keep what they have sent until the peer acknowledges it. On a new stream, each end says how many
messages it has received, and the peer sends the later ones again.

    ==========  ==================  ==================  =========================================
    state       messages to send    messages received   next state
    ==========  ==================  ==================  =========================================
    new         wait                are refused         open, by a WELCOME in either direction
    open        are written         are returned        lost, by :meth:`~Session.lost_stream`
    lost        wait                are refused         open, by a WELCOME and by
                                                        :meth:`~Session.resume`, in either order
    ==========  ==================  ==================  =========================================

PINGs and handshake frames are written in every state. A session that is not resumable is never used
again after it has lost its stream.
"""

from __future__ import annotations

from collections import deque
from itertools import chain

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING
from . import protocol
from .decoder import Decoder
from .protocol import Message
from .shared_memory import SharedBytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .protocol import Frame
    from .shared_memory import Segment
    from .types import Buffer

# How many bytes the owner asks the stream for. The C library maps memory for more than 128 KiB anew
# for each read, which pays only while a lot arrives.
READ_BYTES, LARGE_READ_BYTES = 1 << 16, 1 << 18
_WRITE_BYTES = 1024 * 1024  # committed to one write; a heartbeat waits for no more than this
# Buffers up to this size are joined, since a copy costs less than one more buffer in a write. So a
# write has some 130 buffers at most; the system's limit (IOV_MAX) is 1024.
_JOIN_BYTES = 16 * 1024
# An ACK is due after so many messages or bytes, whichever comes first.
_ACK_MESSAGES = 64
_ACK_BYTES = 1024 * 1024


class Session:
    """The messages of one session, over one stream or several in turn.

    Args:
        resumable: whether another stream can follow: then messages are kept until the peer has
            acknowledged them.
        limit_bytes, adopt, shares, has_room: see :class:`.decoder.Decoder`.
    """

    def __init__(
        self,
        *,
        resumable: bool = False,
        limit_bytes: int = protocol.MESSAGE_LIMIT_BYTES,
        adopt: Callable[[SharedBytes], Segment] | None = None,
        shares: bool = False,
        has_room: Callable[[int], bool] | None = None,
    ) -> None:
        self.resumable = resumable
        self.passes_descriptors = False
        """Whether segments in shared memory are sent as descriptors. True if both ends can."""
        self.received = 0
        """How many messages have been received in this session."""
        self.read_bytes = self.written_bytes = 0
        """All bytes of this session's streams, whatever they were."""
        self._handshake: list[tuple[int, bytes]] = []
        self._decoder = Decoder(limit_bytes, adopt=adopt, shares=shares, has_room=has_room)
        self._sent = 0
        self._peer_received = 0
        self._unacknowledged: deque[list[Frame]] = deque()
        self._control: deque[bytes] = deque()  # frames that overtake those of messages
        self._control_descriptors: list[SharedBytes] = []  # pass with the control frames
        self._frames: deque[Frame] = deque()
        self._committed: deque[memoryview] = deque()  # whole frames, perhaps half written
        self.unsent_descriptors: list[SharedBytes] = []
        """Pass these with the first byte of :meth:`unsent`."""
        self._since_ack_messages = 0
        self._since_ack_bytes = 0
        self._is_ack_due = False
        self._awaits_resume = False

    # ---- sending

    def send(self, kind: int, head: bytes = b"", segments: Sequence[Segment] = ()) -> None:
        """Queue a message. Raises ValueError if its head is too large or its segments too many.

        Large segments are not copied: do not change them afterwards.
        """
        frames = protocol.encode_message(
            (kind, head, segments), by_descriptor=self.passes_descriptors
        )
        self._sent += 1
        if self.resumable:
            self._unacknowledged.append(frames)
        self._frames.extend(frames)

    def send_control(
        self, kind: int, body: bytes = b"", descriptors: Sequence[SharedBytes] = ()
    ) -> None:
        """Queue a frame that is not a message (handshake, PING). It overtakes queued messages.

        The descriptors are passed with the frame. After a WELCOME, this end sends and accepts
        messages. Raises ValueError if the body is too large.
        """
        self._control.append(protocol.encode_frame(kind, body))
        self._control_descriptors += descriptors
        if kind == protocol.WELCOME:
            self.introduce()

    def introduce(self) -> None:
        """Send and accept messages from now on. A WELCOME in either direction does this too."""
        self._decoder.introduce()

    @property
    def has_unsent(self) -> bool:
        """Whether there is anything to write."""
        if self._committed or self._control or self._is_ack_due:
            return True
        return bool(self._frames) and self._may_send

    @property
    def _may_send(self) -> bool:
        return self._decoder.is_introduced and not self._awaits_resume

    def unsent(self) -> list[memoryview]:
        """Return the buffers to write next, in order. Call :meth:`wrote` after the write."""
        if not self._committed:
            self._commit()
        return list(self._committed)

    def _commit(self) -> None:
        """Choose what to write next. Committed frames are written completely, in this order."""
        committed = self._committed
        small: list[Buffer] = list(self._control)  # to be joined
        self._control.clear()
        self.unsent_descriptors, self._control_descriptors = self._control_descriptors, []
        if self._is_ack_due:
            small.append(protocol.encode_ack(self.received))
            self._is_ack_due = False
        size = 0
        frames = self._frames if self._may_send else ()
        # Send one message's descriptors at a time, so that the peer never holds more than 128.
        while frames and size < _WRITE_BYTES and not self.unsent_descriptors:
            for buffer in frames.popleft():
                length = len(buffer)
                size += length
                if length <= _JOIN_BYTES:
                    small.append(buffer)  # type: ignore[arg-type]  # too small to be shared
                    continue
                if isinstance(buffer, SharedBytes):
                    self.unsent_descriptors.append(buffer)
                    continue
                if small:
                    committed.append(memoryview(b"".join(small)))
                    small.clear()
                committed.append(memoryview(buffer))
        if small:
            committed.append(memoryview(b"".join(small)))

    def wrote(self, count: int) -> None:
        """Drop the first ``count`` bytes of :meth:`unsent`: the stream has taken them."""
        committed = self._committed
        self.written_bytes += count
        if count and self.unsent_descriptors:
            self.unsent_descriptors = []
        while count:
            first = committed[0]
            if count < len(first):
                committed[0] = first[count:]
                return
            count -= len(first)
            committed.popleft()

    # ---- receiving

    def receive(self, data: Buffer, descriptors: Sequence[SharedBytes] = ()) -> list[Message]:
        """Take the bytes that arrived, and their descriptors; return the completed messages.

        Raises ProtocolError if the peer breaks the protocol; drop the stream then. If messages were
        completed before that, this call returns them, sets :attr:`error`, and the next call raises.
        """
        messages: list[Message] = []
        self.read_bytes += len(data)
        for kind, content in self._decoder.feed(data, descriptors):
            if isinstance(content, Message):
                messages.append(content)
            elif kind == protocol.ACK:
                self._acknowledged(protocol.decode_ack(content))
            elif kind != protocol.PING:
                self._handshake.append((kind, content))
        self.received += len(messages)
        if self.resumable:
            self._count_for_ack(len(messages), len(data))
        return messages

    @property
    def unfinished_bytes(self) -> int:
        """How many bytes of an incomplete message have arrived."""
        return self._decoder.unfinished_bytes

    @property
    def is_acknowledged(self) -> bool:
        """Whether the peer has acknowledged all messages; True if this session has no ACKs."""
        return not (self.resumable and self._unacknowledged)

    @property
    def error(self) -> ProtocolError | None:
        """How the peer has broken the protocol; None if it has not."""
        return self._decoder.error

    def claim_descriptor(self) -> SharedBytes | None:
        """Return a descriptor that came with a handshake frame; None if there was none."""
        return self._decoder.claim_descriptor()

    def take_handshake(self) -> list[tuple[int, bytes]]:
        """Return kind and body of each handshake frame that arrived since the last call."""
        frames, self._handshake = self._handshake, []
        return frames

    def _count_for_ack(self, messages: int, size: int) -> None:
        self._since_ack_messages += messages
        self._since_ack_bytes += size
        if self._since_ack_messages >= _ACK_MESSAGES or self._since_ack_bytes >= _ACK_BYTES:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Make an ACK due, if messages have arrived since the last one.

        :meth:`receive` does this every 64 messages or 1 MiB. The owner calls it with each
        heartbeat, so that the peer need not keep the last few messages.
        """
        if self.resumable and self._since_ack_messages:
            self._is_ack_due = True
            self._since_ack_messages = self._since_ack_bytes = 0

    def _acknowledged(self, count: int) -> None:
        if not self._peer_received <= count <= self._sent:
            raise ProtocolError(
                f"the peer says that it has {count} messages; "
                f"{self._peer_received} to {self._sent} are possible"
            )
        if self.resumable:
            for _ in range(count - self._peer_received):
                self._unacknowledged.popleft()
        self._peer_received = count

    # ---- the stream's end, and another stream

    def lost_stream(self) -> None:
        """Forget what was half received and half written: the stream has gone.

        Call this before telling the peer :attr:`received` over another stream. Messages that are
        sent from now on wait for :meth:`resume`.
        """
        self._decoder.reset()
        self._handshake.clear()
        for queue in (self._control, self._frames, self._committed):
            queue.clear()
        self._control_descriptors, self.unsent_descriptors = [], []
        self._since_ack_messages = self._since_ack_bytes = 0
        self._is_ack_due = False
        self._awaits_resume = True

    def continue_over(self, newcomer: Session) -> None:
        """Go on over the stream of another session, which has received nothing but a HELLO.

        This session's own stream has gone or is given up. Call :meth:`resume` next.
        """
        self.lost_stream()
        self._decoder = newcomer._decoder  # it may hold the beginning of a frame

    def resume(self, peer_received: int) -> None:
        """Send all messages again after the first ``peer_received``, over a new stream.

        Call this once for each stream, before anything but the handshake is written to it.
        Raises ProtocolError if the peer can't have received that many messages.
        """
        self._acknowledged(peer_received)
        if self.resumable:
            self._frames = deque(chain.from_iterable(self._unacknowledged))
        self._awaits_resume = False
