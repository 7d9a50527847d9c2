"""What the tests of the protocol share: messages of any size, cuts, and the bytes of a session."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.decoder import Decoder
from imp_parallel_core._wire.protocol import Message, encode_message
from imp_parallel_core._wire.session import Session
from imp_parallel_core._wire.shared_memory import SharedBytes
from imp_parallel_core._wire.types import Buffer

FRAME = protocol.FRAME_LIMIT_BYTES
Plain = tuple[int, bytes, list[bytes]]  # a message in a form that compares by content
_PATTERN = bytes(range(251))

sizes = st.one_of(
    st.integers(0, 100),
    st.integers(FRAME - 60, FRAME + 60),
    st.integers(0, 3 * FRAME),
)


def content(size: int, seed: int = 0) -> bytes:
    """Return bytes that show when a piece is missing, doubled or out of place."""
    start = seed % len(_PATTERN)
    return (_PATTERN * (size // len(_PATTERN) + 2))[start : start + size]


@st.composite
def messages(
    draw: st.DrawFn, sizes: st.SearchStrategy[int] = sizes, max_segments: int = 4
) -> Message:
    """Any message, with segments of any of the types that may be sent."""
    lengths = draw(st.lists(sizes, max_size=max_segments))
    forms = st.sampled_from([bytes, bytearray, memoryview])
    segments = [draw(forms)(content(n, i)) for i, n in enumerate(lengths)]
    return Message(draw(st.integers(0, 255)), draw(st.binary(max_size=40)), segments)


def plain(message: bytes | Message) -> Plain:
    """Return a message in a form that compares by content."""
    assert isinstance(message, Message), "the body of a frame that is no message"
    return message.kind, message.head, [in_stream(segment) for segment in message.segments]


def in_stream(buffer: Buffer | SharedBytes) -> bytes:
    """Return what is written to the stream of bytes."""
    assert not isinstance(buffer, SharedBytes)
    return bytes(buffer)


def bytes_of(message: Message) -> bytes:
    """Return a message as it is on the wire."""
    return b"".join(in_stream(buffer) for frame in encode_message(message) for buffer in frame)


def cut(data: bytes, points: Iterable[int]) -> list[bytes]:
    """Return data in pieces, cut at some points (in any order, perhaps beyond its end)."""
    edges = sorted({0, len(data), *(p % (len(data) + 1) for p in points)})
    return [data[a:b] for a, b in pairwise(edges)]


def introduced(limit_bytes: int = protocol.MESSAGE_LIMIT_BYTES, **more: Any) -> Decoder:
    """Return a decoder that accepts messages."""
    decoder = Decoder(limit_bytes, **more)
    decoder.introduce()
    return decoder


def write(session: Session, limit_bytes: int = 1 << 60) -> bytes:
    """Return the next bytes that a session wants to write, at most so many."""
    data = bytearray()
    for buffer in session.unsent():
        data += buffer[: limit_bytes - len(data)]
    session.wrote(len(data))
    return bytes(data)


def write_all(session: Session) -> bytes:
    """Return everything that a session wants to write."""
    data = b""
    while session.has_unsent:
        data += write(session)
    return data
