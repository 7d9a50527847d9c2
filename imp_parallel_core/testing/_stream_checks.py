"""The checks of a stream."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from unittest import SkipTest

from .._wire.stream import Stream
from ._check import Check, run_all
from ._talk import End, Talk, Way, wait, wait_for_end, watched

MakePair = Callable[[], tuple[Stream, Stream]]
"""A function without arguments that returns a new stream, and the stream of its peer."""

_SIZES = (1, 1 << 18, (1 << 23) + 1)
_BOUND_BYTES = 1 << 28
_BLOCK_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_PAUSE_S = 0.01
_LIMIT_BYTES = 1 << 14  # a TLS record; the engine asks for more


def bytes_of_any_size_arrive_as_they_were_sent(talk: Talk) -> None:
    """One byte, 256 KiB and 8 MiB arrive, in both directions, with empty buffers between them."""
    for size in _SIZES:
        data = os.urandom(size)
        talk.transfer(Way(talk.one, talk.other, data))
        talk.transfer(Way(talk.other, talk.one, data))


def both_ends_can_send_at_once(talk: Talk) -> None:
    """What one end has to say does not wait until the other is silent."""
    data = os.urandom(_SIZES[-1])
    talk.transfer(Way(talk.one, talk.other, data), Way(talk.other, talk.one, data))


def receive_keeps_to_its_limit_and_does_not_wait(talk: Talk) -> None:
    """receive() raises BlockingIOError if nothing has arrived, and returns no more than asked."""
    assert talk.one.receive() == b"", "receive() returned bytes that nobody has sent"
    assert not talk.one.has_ended, "receive() tells the end of a stream on which nothing has come"
    data, found = os.urandom(4 * _LIMIT_BYTES + 1), b""
    way = Way(talk.other, talk.one, data)
    while len(found) < len(data):
        writers = [] if way.send() else [talk.other]
        talk.doing = f"of {len(data)} bytes, receive({_LIMIT_BYTES}) has given {len(found)}"
        if wait([talk.one], writers):
            piece = talk.one.receive(_LIMIT_BYTES)
            while talk.one.is_woken and piece:
                found += piece
                piece = talk.one.receive(_LIMIT_BYTES)
            found += piece
    assert found == data, "receive() with a small limit returned other bytes"


def a_full_stream_says_so_and_loses_nothing(talk: Talk) -> None:
    """send() raises BlockingIOError when nobody reads, and goes on when somebody does."""
    block = os.urandom(_BLOCK_BYTES)
    taken = _fill(talk.one, block)
    total, received = taken + _BLOCK_BYTES, 0
    while received < total:
        while taken < total:
            count = talk.one.send([_part(block, taken, total - taken)])
            if count is None:
                break
            taken += count
        talk.doing = f"of {total} bytes, {taken} were taken, and {received} have arrived"
        for reader in wait([talk.other], [talk.one] if taken < total else []):
            piece = memoryview(reader.receive_ready())
            assert not reader.has_ended, f"{talk.doing}; then the stream ended"
            while piece:
                expected = _part(block, received, len(piece))
                assert piece[: len(expected)] == expected, f"{talk.doing}; then come other bytes"
                received += len(expected)
                piece = piece[len(expected) :]


def _fill(end: End, block: bytes) -> int:
    """Send a block again and again until no more is taken; return how many bytes were."""
    taken = 0
    while (count := end.send([_part(block, taken, _PIECE_BYTES)])) is not None:
        taken += count
        assert taken < _BOUND_BYTES, (
            f"send() took {taken >> 20} MiB that nobody reads: it must raise BlockingIOError"
        )
    return taken


def _part(block: bytes, at: int, size: int) -> memoryview:
    start = at % len(block)
    return memoryview(block)[start : start + size]


def the_end_follows_what_was_sent_before_and_wakes_a_reader(talk: Talk) -> None:
    """When the peer has closed, its last bytes arrive, and then the end, without being asked."""
    talk.transfer(Way(talk.one, talk.other, b"x"))
    way = Way(talk.other, talk.one, os.urandom(1000))
    way.send()
    talk.other.close()
    while not talk.one.has_ended:
        talk.doing = f"the peer has closed its stream; {way}"
        if wait([talk.one]):
            way.receive()
    assert way.is_done, f"the peer has closed its stream, and its last bytes are lost: {way}"


def the_end_wakes_a_blocked_writer(talk: Talk) -> None:
    """When the peer closes without reading, who waits to write is woken, and receive() tells."""
    _fill(talk.one, os.urandom(_BLOCK_BYTES))
    talk.one.note_wake_up()  # what it was woken for is done
    talk.other.close()
    _require_end_while_writing(talk)


def _require_end_while_writing(talk: Talk) -> None:
    """Write until receive() tells the end; the core does not go by what send() raises."""
    talk.doing = "the peer has closed its stream; neither receive() nor send() tells"
    writers = [talk.one]
    while not talk.one.has_ended:
        if wait([talk.one], writers) and not talk.one.receive_ready():
            time.sleep(_PAUSE_S)  # the stream may be ready all the time, and never tell
        try:
            if writers:
                talk.one.send([bytes(_PIECE_BYTES)])
        except OSError as problem:
            talk.doing = f"the peer has closed its stream; send() tells, {problem!r}, and receive()"
            talk.doing += " does not"
            writers = []


def a_peer_that_has_only_stopped_writing_has_ended(talk: Talk) -> None:
    """A peer's socket that is shut in one direction is the end; nobody waits in send() for it."""
    try:
        raw = socket.socket(fileno=os.dup(talk.other.descriptor))
    except OSError as problem:
        raise SkipTest(f"the peer's stream has no socket: {problem}") from problem
    with raw:
        way = Way(talk.other, talk.one, b"last words")
        way.send()
        raw.shutdown(socket.SHUT_WR)
        talk.doing = "the peer has shut its socket for writing; receive() does not tell"
        while not talk.one.has_ended:
            if wait([talk.one]):
                way.receive()
        assert way.is_done, f"the peer's last words are lost: {way}"
        for _ in range(100):
            try:
                talk.one.send([bytes(_PIECE_BYTES)])
            except OSError:
                break


def close_tells_the_peer(talk: Talk) -> None:
    """When the stream has been closed, its peer finds the end."""
    talk.transfer(Way(talk.one, talk.other, b"x"), Way(talk.other, talk.one, b"y"))
    talk.one.close()
    talk.doing = "the stream has been closed, and its peer does not find the end"
    wait_for_end(talk.other)


def close_may_be_called_twice(talk: Talk) -> None:
    """A stream that is closed can be closed again."""
    talk.one.close()
    try:
        talk.one.close()
    except Exception as problem:
        raise AssertionError(f"close() raised {problem!r} when called again") from problem


def resumable_says_whether_another_stream_can_follow(talk: Talk) -> None:
    """``resumable`` is True or False: the core asks before it sends the first byte."""
    value = getattr(talk.one.stream, "resumable", "missing")
    assert value is True or value is False, (
        f"resumable of {type(talk.one.stream).__name__} is {value}: it must be True if another "
        "stream can follow this one, and False if not"
    )


STREAM_CHECKS = (
    resumable_says_whether_another_stream_can_follow,
    bytes_of_any_size_arrive_as_they_were_sent,
    both_ends_can_send_at_once,
    receive_keeps_to_its_limit_and_does_not_wait,
    a_full_stream_says_so_and_loses_nothing,
    the_end_follows_what_was_sent_before_and_wakes_a_reader,
    the_end_wakes_a_blocked_writer,
    a_peer_that_has_only_stopped_writing_has_ended,
    close_tells_the_peer,
    close_may_be_called_twice,
)


class StreamCheck(Check):
    """A check of a stream."""

    def __init__(self, function: Callable[[Talk], None], limit_s: float) -> None:
        super().__init__(function)
        self._limit_s = limit_s

    def __call__(self, make_pair: MakePair) -> None:
        """Make the check.

        Args:
            make_pair: returns the stream, and that of its peer: the other end of the connection.
                Both are closed in the end. The stream is checked; of the peer's, only that it
                carries bytes.

        Raises AssertionError if something is not as it should be.
        """
        self._run(lambda: make_talk(make_pair))

    def _run(self, make: Callable[[], Talk]) -> None:
        talk = make()
        try:
            watched(lambda: super(StreamCheck, self)._run(talk), talk.state, self._limit_s)
        finally:
            talk.close()


def make_talk(make_pair: MakePair) -> Talk:
    """Return a new connection."""
    return Talk(*make_pair())


def stream_checks(*, limit_s: float = 60.0) -> list[StreamCheck]:
    """Return all checks of a stream, one by one; each may take ``limit_s``."""
    return [StreamCheck(function, limit_s) for function in STREAM_CHECKS]


def check_stream(make_pair: MakePair, *, limit_s: float = 60.0) -> dict[str, str]:
    """Make all checks of a stream; see :class:`StreamCheck`.

    Returns the names of the checks that could not be made, each with the reason. Raises
    AssertionError for the first thing that is not as it should be.
    """
    return run_all(stream_checks(limit_s=limit_s), lambda check: check(make_pair))
