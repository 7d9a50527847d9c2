"""TLS as a stream: all that arrived is handed over, and what could not be written is kept."""

from __future__ import annotations

import os
import select
import socket
import ssl
from collections.abc import Iterator

import pytest
from imp_parallel_tcp._credentials import RunCredentials
from imp_parallel_tcp._tls import SlaveCredentials
from imp_parallel_tcp._tls_stream import TlsStream

Pair = tuple[TlsStream, TlsStream]


@pytest.fixture
def pair() -> Iterator[Pair]:
    run = RunCredentials()
    contexts = {True: run.context, False: SlaveCredentials(run.secret(0), 0).context}
    contexts[False].verify_flags |= ssl.VERIFY_X509_STRICT  # which Python 3.13 has begun to set
    one, other = socket.socketpair()
    ends = []
    for end, is_master in ((one, True), (other, False)):
        end.setblocking(False)
        context = contexts[is_master]
        ends.append(context.wrap_socket(end, server_side=is_master, do_handshake_on_connect=False))
    done: set[int] = set()
    for _ in range(20):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
            except OSError:
                continue
            done.add(number)
    assert done == {0, 1}
    streams = TlsStream(ends[0]), TlsStream(ends[1])
    yield streams
    for stream in streams:
        stream.close()


def read_what_can_be_selected(stream: TlsStream, limit_bytes: int) -> bytes:
    """Read as an event loop does: once for each time that the selector says so."""
    found = b""
    descriptor = stream.fileno()
    assert descriptor is not None
    while select.select([descriptor], [], [], 0.2)[0]:
        try:
            found += stream.receive(limit_bytes)
        except BlockingIOError:
            continue
    return found


@pytest.mark.parametrize("size", [1, 16_383, 16_384, 16_385, 65_536, 150_000])
@pytest.mark.parametrize("limit_bytes", [1 << 14, 1 << 16, 1 << 18])
def test_nothing_is_left_where_a_selector_can_not_see_it(
    pair: Pair, size: int, limit_bytes: int
) -> None:
    data = os.urandom(size)
    sent = 0
    found = b""
    while len(found) < size:
        try:
            sent += pair[0].send([memoryview(data)[sent:]]) if sent < size else 0
        except BlockingIOError:
            pass
        found += read_what_can_be_selected(pair[1], limit_bytes)
    assert found == data


def test_what_could_not_be_written_is_written_once_and_in_order(pair: Pair) -> None:
    buffers = [os.urandom(size) for size in (10, 200_000, 3, 70_000, 65_536, 5, 1_000_000, 1)]
    whole = b"".join(buffers)
    sent, found = 0, b""
    while len(found) < len(whole):
        if sent < len(whole):
            left = []
            at = 0
            for buffer in buffers:
                if at + len(buffer) > sent:
                    left.append(memoryview(buffer)[max(0, sent - at) :])
                at += len(buffer)
            try:
                sent += pair[0].send(left)
            except BlockingIOError:
                pass
        try:
            found += pair[1].receive(1 << 15)
        except BlockingIOError:
            pass
    assert sent == len(whole)
    assert found == whole


def test_a_stream_that_is_full_says_that_it_would_block(pair: Pair) -> None:
    def write_until_it_is_full() -> None:
        for _ in range(1000):
            pair[0].send([bytes(100_000)])

    with pytest.raises(BlockingIOError):
        write_until_it_is_full()


def test_the_end_is_no_data_and_a_stream_may_be_closed_twice(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        pair[1].receive(1 << 18)
    pair[0].close()
    pair[0].close()
    assert pair[1].receive(1 << 18) == b""
