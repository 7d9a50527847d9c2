"""Each check of a stream finds a stream that has that one thing wrong, and says so."""

from __future__ import annotations

import gc
import unittest

import pytest

from imp_parallel_core import SocketStream, testing
from tests.support.unix_transport import WakingStream
from tests.testing import streams
from tests.testing.streams import pair_of


def check_named(name: str, limit_s: float = 60.0) -> testing.StreamCheck:
    return next(each for each in testing.stream_checks(limit_s=limit_s) if each.name == name)


@pytest.mark.parametrize("kind", [SocketStream, WakingStream])
@pytest.mark.parametrize("check", testing.stream_checks())
def test_a_stream_with_nothing_wrong_passes(
    check: testing.StreamCheck, kind: type[SocketStream]
) -> None:
    check(lambda: pair_of(kind))


BYTES = "bytes_of_any_size_arrive_as_they_were_sent"
RECEIVE = "receive_keeps_to_its_limit_and_does_not_wait"
FULL = "a_full_stream_says_so_and_loses_nothing"
END = "the_end_follows_what_was_sent_before_and_wakes_a_reader"

WRONG = [
    (BYTES, streams.SaysThatAllIsSent, "the stream has taken"),
    (BYTES, streams.DropsEmptyBuffersAndWhatFollows, "of 1 bytes, the stream has taken 1, and"),
    ("both_ends_can_send_at_once", streams.DoesOneThingAtATime, "the stream has given"),
    (RECEIVE, streams.WaitsToReceive, r"receive\(\) of the stream has not returned: it must not"),
    (RECEIVE, streams.ReadsAhead, r"of 65537 bytes, receive\(16384\) has given 16384"),
    (RECEIVE, streams.ReturnsMoreThanAsked, r"receive\(16384\) of the stream returned 32768 bytes"),
    (FULL, streams.WaitsToSend, r"send\(\) of the stream has not returned: it must not wait"),
    (FULL, streams.HasNoBound, r"send\(\) took 256 MiB that nobody reads"),
    (END, streams.NeverEnds, "not done after 2 s: the peer has closed its stream"),
    (END, streams.EndsTooEarly, "the stream has given 0: then the stream ended"),
    (
        "the_end_wakes_a_blocked_writer",
        streams.ForgetsBlockedWriters,
        r"not done after 2 s: the peer has closed its stream; neither receive\(\) nor send\(\)",
    ),
    (
        "the_end_wakes_a_blocked_writer",
        streams.KeepsABreakToItself,
        r"closed its stream; send\(\) tells, BrokenPipeError.*, and receive\(\) does not",
    ),
    (
        "resumable_says_whether_another_stream_can_follow",
        streams.SaysNothingOfResumption,
        "resumable of SaysNothingOfResumption is missing: it must be True if another stream can",
    ),
    (
        "close_tells_the_peer",
        streams.ClosesNothing,
        "not done after 2 s: the stream has been closed, and its peer does not find the end",
    ),
    (
        "a_peer_that_has_only_stopped_writing_has_ended",
        streams.NeverEnds,
        r"not done after 2 s: the peer has shut its socket for writing; receive\(\) does not tell",
    ),
    ("close_may_be_called_twice", streams.CanNotBeClosedTwice, r"close\(\) raised OSError.*again"),
]


@pytest.mark.parametrize(("name", "wrong", "words"), WRONG)
def test_a_stream_with_one_thing_wrong_is_found(
    name: str, wrong: type[SocketStream], words: str
) -> None:
    limit_s = 2.0 if wrong in GETS_STUCK else 60.0
    peer = wrong if wrong is streams.DoesOneThingAtATime else SocketStream
    made = pair_of(wrong, peer)
    with pytest.raises(AssertionError, match=words):
        check_named(name, limit_s)(lambda: made)
    for stream in made:
        SocketStream.close(stream)


GETS_STUCK = {
    streams.SaysThatAllIsSent,
    streams.DropsEmptyBuffersAndWhatFollows,
    streams.ReadsAhead,
    streams.DoesOneThingAtATime,
    streams.WaitsToReceive,
    streams.WaitsToSend,
    streams.NeverEnds,
    streams.ForgetsBlockedWriters,
    streams.KeepsABreakToItself,
    streams.ClosesNothing,
}


def test_each_check_is_shown_to_find_something() -> None:
    assert {name for name, *_ in WRONG} == {check.name for check in testing.stream_checks()}


def test_all_checks_can_be_made_at_once_and_the_connections_are_closed() -> None:
    made: list[SocketStream] = []

    def make() -> tuple[SocketStream, SocketStream]:
        made.extend(pair := pair_of(SocketStream))
        return pair

    assert testing.check_stream(make) == {}
    assert {stream.fileno() for stream in made} == {-1}
    gc.collect()  # nothing else is left open: that would be a warning


def test_a_check_that_can_not_be_made_is_left_out_under_its_name() -> None:
    def make() -> tuple[SocketStream, SocketStream]:
        without_socket, stream = pair_of(WakingStream)
        return stream, without_socket

    name = "a_peer_that_has_only_stopped_writing_has_ended"
    assert testing.check_stream(make).keys() == {name}
    with pytest.raises(unittest.SkipTest, match=f"{name}: the peer's stream has no socket"):
        check_named(name)(make)
