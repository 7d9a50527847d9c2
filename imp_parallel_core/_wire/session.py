"""One end of a wire: the session of numbered messages that both ends share.

Sans-I/O: :meth:`Session.receive` takes the bytes that came, :meth:`Session.unsent` gives
those to write. The same class serves master and supervisor, supervisor and runner.

Each stream begins with a handshake, of frames that are no messages; messages wait until a WELCOME
has been sent or received.

A session outlives its stream if the stream's transport can make another (``resumable``): messages
are counted in both directions and kept until the peer acknowledges them; after a new stream is
made, each end says how many it has received, and the other sends again what is missing. So each
message is delivered once and in order, wherever the bytes were cut.
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

# How much its owner asks the stream for: memory for more than 128 KiB is mapped anew for each read,
# which is worth it only while much arrives.
READ_BYTES, LARGE_READ_BYTES = 1 << 16, 1 << 18
_WRITE_BYTES = 1024 * 1024  # how much is committed to one write; a heartbeat waits for no more
# Buffers up to this size are joined: a copy costs less than one more buffer to a write. So a write
# has some 130 of them at most; the system's limit (IOV_MAX) is 1024.
_JOIN_BYTES = 16 * 1024
_ACK_MESSAGES = 64
_ACK_BYTES = 1024 * 1024


class Session:
    """The messages of one session, over one stream or several in turn.

    Args:
        resumable: keep what was sent until the peer has it, for a stream that can be made again.
        limit_bytes: the largest message that is accepted.
        adopt: called with each segment that came as a descriptor (see the Decoder).
        shares: gather large segments in shared memory, likewise.
        has_room: says whether there is memory for so many more bytes, likewise.
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
        """Whether segments in shared memory are sent as descriptors: both ends have said so."""
        self.received = 0
        """How many messages have been received in this session."""
        self.read_bytes = self.written_bytes = 0
        """How much has been, whatever it was."""
        self._handshake: list[tuple[int, bytes]] = []
        self._decoder = Decoder(limit_bytes, adopt=adopt, shares=shares, has_room=has_room)
        self._sent = 0
        self._peer_received = 0
        self._unacknowledged: deque[list[Frame]] = deque()
        self._control: deque[bytes] = deque()  # passes between the frames of messages
        self._control_descriptors: list[SharedBytes] = []  # to be passed with it
        self._frames: deque[Frame] = deque()
        self._committed: deque[memoryview] = deque()  # whole frames, perhaps half written
        self.unsent_descriptors: list[SharedBytes] = []
        """To be passed with the first byte of :meth:`unsent`."""
        self._since_ack_messages = 0
        self._since_ack_bytes = 0
        self._is_ack_due = False
        self._awaits_resume = False

    # ---- sending

    def send(self, kind: int, head: bytes = b"", segments: Sequence[Segment] = ()) -> None:
        """Queue a message. Raises ValueError if its head is too large, or its segments too many.

        Large segments are not copied: they must not be changed afterwards.
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
        """Queue a frame that is no message (handshake, PING); it overtakes queued messages.

        Descriptors that are given are passed with it. After a WELCOME, this end sends and accepts
        messages. Raises ValueError if the body is too large.
        """
        self._control.append(protocol.encode_frame(kind, body))
        self._control_descriptors += descriptors
        if kind == protocol.WELCOME:
            self.introduce()

    def introduce(self) -> None:
        """Send and accept messages from now on: done by a WELCOME, in either direction."""
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
        """Return buffers to write next, in order; then tell :meth:`wrote` how much was taken."""
        if not self._committed:
            self._commit()
        return list(self._committed)

    def _commit(self) -> None:
        """Choose what to write next; once begun, it is written to its end."""
        committed = self._committed
        small: list[Buffer] = list(self._control)  # to be joined
        self._control.clear()
        self.unsent_descriptors, self._control_descriptors = self._control_descriptors, []
        if self._is_ack_due:
            small.append(protocol.encode_ack(self.received))
            self._is_ack_due = False
        size = 0
        frames = self._frames if self._may_send else ()
        # those of two messages never wait together at the other end, which bounds their number
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
        """Take note that the first ``count`` bytes of :meth:`unsent` have been written."""
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
        """Take the bytes that arrived, and descriptors with them; return the completed messages.

        Raises ProtocolError if the peer breaks the protocol; drop the stream then. If messages
        came before that, they are returned first, and :attr:`error` says that there is no more.
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
        """How much has come of a message of which the rest has not."""
        return self._decoder.unfinished_bytes

    @property
    def is_acknowledged(self) -> bool:
        """Whether the peer is known to have all that was sent; True if it would not say so."""
        return not (self.resumable and self._unacknowledged)

    @property
    def error(self) -> ProtocolError | None:
        """How the peer has broken the protocol, if it has."""
        return self._decoder.error

    def claim_descriptor(self) -> SharedBytes | None:
        """Return a descriptor that came with a handshake frame; None if none did."""
        return self._decoder.claim_descriptor()

    def take_handshake(self) -> list[tuple[int, bytes]]:
        """Return the handshake frames that have arrived since the last call: kind and body."""
        frames, self._handshake = self._handshake, []
        return frames

    def _count_for_ack(self, messages: int, size: int) -> None:
        self._since_ack_messages += messages
        self._since_ack_bytes += size
        if self._since_ack_messages >= _ACK_MESSAGES or self._since_ack_bytes >= _ACK_BYTES:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Tell the peer now what has been received.

        Also done every so many messages and bytes; the owner calls it now and then, so that the
        peer need not keep the last few.
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
        """The stream has gone: forget what was half received and half written.

        Call it before :attr:`received` is told over another stream. Messages may still be queued;
        they wait for :meth:`resume`.
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
        """Go on over the stream on which another connection has received its HELLO, and no more.

        This one's own stream has gone, or is given up. :meth:`resume` follows.
        """
        self.lost_stream()
        self._decoder = newcomer._decoder  # the beginning of a frame may be in it

    def resume(self, peer_received: int) -> None:
        """A new stream is there, and the peer has said what it had received: send the rest.

        Called once for each new stream, before anything but the handshake is written to it.
        Raises ProtocolError if that number is impossible.
        """
        self._acknowledged(peer_received)
        if self.resumable:
            self._frames = deque(chain.from_iterable(self._unacknowledged))
        self._awaits_resume = False
