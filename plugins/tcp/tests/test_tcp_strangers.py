"""The port is hostile ground: whoever has not the run's key gets nowhere, and stops nobody."""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_tcp import _listener
from imp_parallel_tcp._dial import dial

from imp_parallel_core import Manager
from tests.support import file_launcher
from tests.support.file_launcher import FileSlave
from tests.support.harness import Processes
from tests.support.waiting import wait_until

BOMB = b"cos\nsystem\n(S'touch pwned'\ntR."  # a pickle that makes a file


def port_of(manager: Manager) -> int:
    return int(manager._transports.get("tcp")[1][0].rpartition(":")[2])


def connect(manager: Manager) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(manager)), timeout=20)


def listener_of(manager: Manager) -> Any:
    return vars(manager._transports.get("tcp")[0])["_listener"]


def newcomers_of(manager: Manager) -> int:
    listener = listener_of(manager)
    return len(listener._silent) + len(listener._waiting) + len(listener._speaking)


def is_turned_away(stranger: socket.socket) -> bool:
    try:
        while data := stranger.recv(4096):
            assert BOMB not in data
    except (ConnectionError, ssl.SSLError):
        pass
    return True


@pytest.fixture
def local(processes: Processes) -> Iterator[Manager]:
    with Manager(host="127.0.0.1", plugins=[file_launcher]) as made:
        yield made


def run_some_tasks(manager: Manager, limit_s: float) -> None:
    begun_at = time.monotonic()
    for _ in range(2):
        manager.add_slave(FileSlave())
    context = manager.get_context()
    for number in range(20):
        context.add_task(lambda number=number: number)
    assert sorted(context.get_results_unordered()) == list(range(20))
    assert time.monotonic() - begun_at < limit_s


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2048
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"no more than {hard} descriptors may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_five_hundred_idle_connections_do_not_keep_slaves_out(
    local: Manager, many_descriptors: None
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(connect(local))
        run_some_tasks(local, 40.0)
        listener = listener_of(local)
        assert len(listener._silent) <= listener._silent_limit
        assert not listener._speaking, "who says nothing needs no memory for a handshake"


def hello() -> bytes:
    """Return what a TLS client begins with."""
    sent = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="here")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


HELLO = hello()


@pytest.mark.parametrize(
    ("said", "source"),
    [
        (HELLO[:1], "127.0.0.1"),
        (HELLO[:9], "127.0.0.1"),
        (HELLO[:-1], "127.0.0.1"),
        (HELLO, "127.0.0.2"),
    ],
    ids=["a byte of a hello", "nine bytes", "all but one byte", "a hello from elsewhere"],
)
def test_a_slave_does_not_wait_for_three_hundred_who_never_go_on_with_what_they_have_begun(
    local: Manager,
    many_descriptors: None,
    monkeypatch: pytest.MonkeyPatch,
    said: bytes,
    source: str,
) -> None:
    monkeypatch.setattr(_listener, "_UNDISTURBED_S", 60.0)  # so long they would keep it out
    monkeypatch.setattr(_listener, "_HANDSHAKE_S", 60.0)
    transport, addresses = local._transports.get("tcp")
    secret = base64.b64encode(transport.secret(77)).decode()
    place = ("127.0.0.1", port_of(local))
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stranger = socket.create_connection(place, 20, source_address=(source, 0))
            stack.enter_context(stranger).sendall(said)
        wait_until(lambda: newcomers_of(local) > 200)
        dial({"index": 77, "addresses": addresses, "secret": secret}, 30.0).close()
        if len(said) < len(HELLO):
            wait_until(lambda: not listener_of(local)._speaking)


def test_who_has_begun_a_hello_and_gone_is_forgotten(local: Manager) -> None:
    for length in (1, 5, 9):
        with connect(local) as stranger:
            stranger.sendall(HELLO[:length])
    wait_until(lambda: newcomers_of(local) == 0, 15.0)


@pytest.mark.parametrize("said", [b"", b"\x16"], ids=["nothing", "a byte"])
def test_a_slave_comes_in_past_five_hundred_others_that_have_said(
    local: Manager, many_descriptors: None, said: bytes
) -> None:
    transport, addresses = local._transports.get("tcp")
    secret = base64.b64encode(transport.secret(77)).decode()
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(connect(local)).sendall(said)
        begun_at = time.monotonic()
        stream = dial({"index": 77, "addresses": addresses, "secret": secret}, 20.0)
        taken_s = time.monotonic() - begun_at
        stream.close()
    assert taken_s < 2.0


def test_those_who_idle_are_turned_away_after_a_while(
    local: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_listener, "_HANDSHAKE_S", 1.0)
    with connect(local) as idle:
        wait_until(lambda: newcomers_of(local) == 1)
        assert idle.recv(1) == b""
    assert newcomers_of(local) == 0


def test_who_writes_a_byte_at_a_time_is_turned_away_too(
    local: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_listener, "_HANDSHAKE_S", 1.0)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    begun_at = time.monotonic()
    with connect(local) as slow, contextlib.suppress(ConnectionError):
        for byte in hello:
            slow.sendall(bytes([byte]))
            time.sleep(0.05)
        raise AssertionError("it was not turned away")
    assert time.monotonic() - begun_at < 20


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        BOMB,
        b"\0\0\0\2\1{}" * 1000,
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
        os.urandom(100_000),
    ],
    ids=["http", "pickle", "frames without tls", "oversized record", "random"],
)
def test_who_speaks_no_tls_is_turned_away(local: Manager, said: bytes, tmp_path: Path) -> None:
    with connect(local) as stranger:
        with contextlib.suppress(ConnectionError):
            stranger.sendall(said)
        assert is_turned_away(stranger)
    run_some_tasks(local, 30.0)
    assert not (tmp_path / "pwned").exists()


def test_a_run_completes_while_all_kinds_of_strangers_knock(
    local: Manager, many_descriptors: None, tmp_path: Path
) -> None:
    port_of(local)
    end = threading.Event()

    def knock() -> None:
        kept: list[socket.socket] = []
        number = 0
        while not end.wait(0.01):
            number += 1
            with contextlib.suppress(OSError):
                stranger = connect(local)
                kept.append(stranger)
                if number % 3 == 0:
                    stranger.sendall(os.urandom(1000))
                elif number % 3 == 1:
                    stranger.sendall(b"\x16\x03\x01\x02\x00\x01")
            while len(kept) > 200:
                kept.pop(0).close()
        for stranger in kept:
            stranger.close()

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        run_some_tasks(local, 40.0)
    finally:
        end.set()
        thread.join()
    assert not (tmp_path / "pwned").exists()
