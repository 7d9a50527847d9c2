"""What the tests of the protocol share: messages of any size, cuts, and bytes of a connection."""

from itertools import pairwise

from hypothesis import strategies as st

from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.decoder import Decoder
from imp_parallel_core._wire.protocol import Message, encode_message

FRAME = protocol.FRAME_LIMIT_BYTES
_PATTERN = bytes(range(251))

sizes = st.one_of(
    st.integers(0, 100),
    st.integers(FRAME - 60, FRAME + 60),
    st.integers(0, 3 * FRAME),
)


def content(size, seed=0):
    """Return bytes that show when a piece is missing, doubled or out of place."""
    start = seed % len(_PATTERN)
    return (_PATTERN * (size // len(_PATTERN) + 2))[start : start + size]


@st.composite
def messages(draw, sizes=sizes, max_segments=4):
    """Any message, with segments of any of the types that may be sent."""
    lengths = draw(st.lists(sizes, max_size=max_segments))
    forms = st.sampled_from([bytes, bytearray, memoryview])
    segments = [draw(forms)(content(n, i)) for i, n in enumerate(lengths)]
    return Message(draw(st.integers(0, 255)), draw(st.binary(max_size=40)), segments)


def plain(message):
    """Return a message in a form that compares by content."""
    return message.kind, message.head, [bytes(segment) for segment in message.segments]


def bytes_of(message):
    """Return a message as it is on the wire."""
    return b"".join(bytes(buffer) for frame in encode_message(message) for buffer in frame)


def cut(data, points):
    """Return data in pieces, cut at some points (in any order, perhaps beyond its end)."""
    edges = sorted({0, len(data), *(p % (len(data) + 1) for p in points)})
    return [data[a:b] for a, b in pairwise(edges)]


def introduced(limit_bytes=protocol.MESSAGE_LIMIT_BYTES, **more):
    """Return a decoder that accepts messages."""
    decoder = Decoder(limit_bytes, **more)
    decoder.introduce()
    return decoder


def write(connection, limit_bytes=1 << 60):
    """Return the next bytes that a connection wants to write, at most so many."""
    data = bytearray()
    for buffer in connection.unsent():
        data += buffer[: limit_bytes - len(data)]
    connection.wrote(len(data))
    return bytes(data)


def write_all(connection):
    """Return everything that a connection wants to write."""
    data = b""
    while connection.has_unsent:
        data += write(connection)
    return data
