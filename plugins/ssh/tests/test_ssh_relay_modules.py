"""The modules of the relay, each by itself."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_ssh._programs.relay import pairs as _pairs
from imp_parallel_ssh._programs.relay.addresses import listen, own_addresses
from imp_parallel_ssh._programs.relay.limits import RESERVED, Limits
from imp_parallel_ssh._programs.relay.master_link import MasterLink
from imp_parallel_ssh._programs.relay.pairs import Pairs
from imp_parallel_ssh._programs.relay.server import RelayServer
from imp_parallel_ssh._programs.relay.sockets import READ, Sockets

# ---- limits and addresses


@given(st.integers(RESERVED + 3, 1 << 20))
def test_the_limits_leave_descriptors_for_the_rest(descriptors: int) -> None:
    limits = Limits(descriptors)
    assert min(limits.waiting, limits.joined, limits.unanswered) >= 1
    assert limits.waiting + 2 * limits.joined + RESERVED <= descriptors


def test_even_with_hardly_any_descriptors_one_connection_may_be_there() -> None:
    assert (Limits(0).waiting, Limits(0).joined) == (1, 1)


def test_a_relay_listens_at_one_port_at_each_address_of_its_machine() -> None:
    sockets, addresses = listen("")
    ports = {each.getsockname()[1] for each in sockets}
    assert {int(address.rpartition(":")[2]) for address in addresses} == ports
    assert len(ports) == 1
    found = [address.rpartition(":")[0].strip("[]") for address in addresses]
    assert found == [
        address for address in own_addresses() if len(sockets) == 2 or ":" not in address
    ]
    is_loopback = [address.startswith("127.") or address == "::1" for address in found]
    assert is_loopback == sorted(is_loopback)
    for each in sockets:
        each.close()


def test_a_relay_that_is_told_an_address_listens_there_alone() -> None:
    (listening,), addresses = listen("127.0.0.1")
    assert addresses == [f"127.0.0.1:{listening.getsockname()[1]}"]
    listening.close()


# ---- sockets


def test_a_socket_that_was_closed_by_what_came_before_it_is_not_handled() -> None:
    sockets = Sockets()
    one, other = socket.socketpair()
    handled = []

    def handle(sock: socket.socket, events: int) -> None:
        handled.append(sock)
        for each in (one, other):
            sockets.close(each)

    for each in (one, other):
        each.send(b"x")
        sockets.watch(each, READ, handle)
    for sock, handler, events in sockets.ready(5.0):
        handler(sock, events)
    assert len(handled) == 1
    assert list(sockets.ready(0.0)) == []
    sockets.end()


# ---- the master


class Keeper:
    """A keeper, and the link that it has come to."""

    def __init__(self, folder: Path, patience_s: float = 30.0) -> None:
        self.sockets = Sockets()
        self.moved = 0
        self.listening = socket.socket(socket.AF_UNIX)
        self.path = str(folder / "relay")
        self.listening.bind(self.path)
        self.listening.listen()
        self.link = MasterLink(self.sockets, self.listening, patience_s, self._note)
        self.said = [self.come()]

    def _note(self) -> None:
        self.moved += 1

    def come(self) -> socket.socket:
        """Connect once more."""
        made = socket.socket(socket.AF_UNIX)
        made.connect(self.path)
        self.handle()
        return made

    def port(self) -> int | None:
        """Return where the master can be connected to; None if it is not there."""
        return self.link.port if self.link.is_there else None

    def left_s(self) -> float | None:
        """Return how long the relay still stays; None while the master is there."""
        due = self.link.leave_at
        return None if due is None else due - time.monotonic()

    def handle(self) -> None:
        for sock, handler, events in self.sockets.ready(5.0):
            handler(sock, events)

    def say(self, data: bytes) -> None:
        self.said[-1].send(data)
        self.handle()

    def close(self) -> None:
        for each in (*self.said, self.listening, self.link.keeper):
            if each is not None:
                each.close()
        self.sockets.end()


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path)
    yield made
    made.close()


def test_the_master_is_there_when_it_has_said_its_port_however_its_words_arrive(
    keeper: Keeper,
) -> None:
    assert keeper.left_s() is None
    for piece in (b"\n", b"\npo", b"rt 12", b"34"):
        keeper.say(piece)
        assert keeper.port() is None
    keeper.say(b"5\n\n")
    assert keeper.port() == 12345
    assert keeper.moved == 1
    keeper.say(b"bye\n")
    left_s = keeper.left_s()
    assert left_s is not None
    assert left_s <= 0


def test_another_keeper_takes_the_place_of_the_first_and_says_another_port(keeper: Keeper) -> None:
    keeper.say(b"port 1\npo")
    keeper.said.append(keeper.come())
    assert keeper.said[0].recv(1) == b""
    assert keeper.port() is None
    keeper.say(b"port 2\n")
    assert keeper.port() == 2


def test_a_master_whose_keeper_ends_without_a_bye_is_waited_for_as_long_as_it_may_be_away(
    keeper: Keeper,
) -> None:
    keeper.say(b"port 1\n")
    keeper.said[-1].close()
    keeper.handle()
    assert keeper.port() is None
    left_s = keeper.left_s()
    assert left_s is not None
    assert 27.0 < left_s <= 30.0


# ---- pairs


class Joined:
    """Pairs, and a master that they lead to."""

    def __init__(self) -> None:
        self.sockets = Sockets()
        self.refused: list[socket.socket] = []
        self.made_room = 0
        limits = Limits(1024)
        limits.unanswered = 2
        self.pairs = Pairs(self.sockets, limits, self.refused.append, self._note)
        self.master = socket.create_server(("127.0.0.1", 0))
        self.master.settimeout(20.0)
        self.port: int = self.master.getsockname()[1]
        self.open: list[socket.socket] = []

    def _note(self) -> None:
        self.made_room += 1

    def dial(self) -> tuple[socket.socket, socket.socket]:
        """Join a new connection to one to the master; return the ends of others than the relay."""
        server = socket.create_server(("127.0.0.1", 0))
        somebody = socket.create_connection(server.getsockname())
        near = server.accept()[0]
        server.close()
        near.setblocking(False)
        assert self.pairs.join(near, self.port)
        far = self.master.accept()[0]
        self.turn()
        for each in (somebody, far):
            each.setblocking(False)
        self.open += [somebody, far]
        return somebody, far

    def turn(self, wait_s: float = 5.0) -> None:
        for sock, handler, events in self.sockets.ready(wait_s):
            handler(sock, events)

    def close(self) -> None:
        self.pairs.drop_all()
        for each in (*self.open, self.master):
            each.close()
        self.sockets.end()


@pytest.fixture
def joined() -> Iterator[Joined]:
    made = Joined()
    yield made
    made.close()


def pass_on(joined: Joined, source: socket.socket, sink: socket.socket, data: bytes) -> bytes:
    """Send all and end; return what arrives until the end."""
    rest, arrived = memoryview(data), bytearray()
    is_over = False
    deadline = time.monotonic() + 20.0
    while not is_over and time.monotonic() < deadline:
        try:
            while rest:
                rest = rest[source.send(rest) :]
            source.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            pass  # it has been shut down before
        joined.turn(0.01)
        try:
            piece = sink.recv(100_000)
            arrived += piece
            is_over = not piece
        except BlockingIOError:
            pass
    assert is_over
    return bytes(arrived)


@pytest.mark.parametrize("size", [0, 1, 10_000_000])
def test_what_one_end_says_and_its_end_reach_the_other_whichever_it_is(
    joined: Joined, size: int
) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    somebody, far = joined.dial()
    assert pass_on(joined, somebody, far, data[:size]) == data[:size]
    assert pass_on(joined, far, somebody, data[:size]) == data[:size]
    assert list(joined.sockets.ready(0.0)) == []  # both have ended, and so has the pair


def test_of_those_that_the_master_has_not_answered_the_oldest_gives_way_in_time(
    joined: Joined, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, _), (second, answering) = joined.dial(), joined.dial()
    assert not joined.pairs.make_room("127.0.0.1")
    assert joined.made_room == 0
    answering.send(b"yes")
    joined.turn()
    assert joined.made_room == 1
    assert joined.pairs.make_room("127.0.0.1")
    joined.dial()
    assert not joined.pairs.make_room("127.0.0.1")
    monkeypatch.setattr(_pairs, "UNANSWERED_S", -1.0)
    assert joined.pairs.make_room("127.0.0.1")
    first.setblocking(True)
    assert first.recv(1) == b"", "it was closed"
    assert second.recv(3) == b"yes", "this one was answered"


def test_what_nobody_takes_waits_with_the_one_who_says_it(joined: Joined) -> None:
    somebody, _ = joined.dial()
    (pair,) = joined.pairs._all
    sent = 0
    while True:  # until the system takes no more, though the relay has had its turns
        try:
            sent += somebody.send(bytes(1 << 20))
        except BlockingIOError:
            for _ in range(20):
                joined.turn(0.01)
            try:
                sent += somebody.send(bytes(1))
            except BlockingIOError:
                break
        assert sent < 200_000_000
    assert len(pair.far.waiting) < 2 * _pairs.BUFFER_BYTES


def test_somebody_whom_the_master_refuses_is_given_back(joined: Joined) -> None:
    joined.master.close()
    near, somebody = socket.socketpair()
    if joined.pairs.join(near, joined.port):
        joined.turn()
        assert joined.refused == [near]
    somebody.send(b"it is still open")
    assert near.recv(5) == b"it is"
    near.close()
    somebody.close()


# ---- the server


def test_when_the_master_has_moved_connections_to_where_it_was_are_closed(tmp_path: Path) -> None:
    keepers = socket.socket(socket.AF_UNIX)
    keepers.bind(str(tmp_path / "relay"))
    keepers.listen()
    server = RelayServer([], keepers, 30.0, 1024)
    near, somebody = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as keeper, socket.create_server(("127.0.0.1", 0)) as master:
        assert server._pairs.join(near, master.getsockname()[1])
        keeper.connect(str(tmp_path / "relay"))
        keeper.send(b"port 1\n")
        deadline = time.monotonic() + 20.0
        while server.master.port is None and time.monotonic() < deadline:
            for sock, handler, events in server._sockets.ready(1.0):
                if sock is keepers or sock is server.master.keeper:
                    server.handle(sock, handler, events)
        assert somebody.recv(1) == b""
    somebody.close()
    server.abandon()


def test_who_has_spoken_is_held_until_the_master_is_there(tmp_path: Path) -> None:
    keepers = socket.socket(socket.AF_UNIX)
    keepers.bind(str(tmp_path / "relay"))
    keepers.listen()
    listening, (address,) = listen("127.0.0.1")
    server = RelayServer(listening, keepers, 30.0, 1024)
    host, _, port = address.rpartition(":")

    def turn() -> None:
        now = time.monotonic()
        server._listen_if_there_is_room(now)
        for sock, handler, events in server._sockets.ready(0.01):
            server.handle(sock, handler, events)
        server._join_held()

    with (
        socket.create_connection((host, int(port))) as somebody,
        socket.create_server(("127.0.0.1", 0)) as master,
        socket.socket(socket.AF_UNIX) as keeper,
    ):
        somebody.send(b"hello")
        for _ in range(20):
            turn()
        keeper.connect(str(tmp_path / "relay"))
        keeper.send(b"port %d\n" % master.getsockname()[1])
        master.settimeout(0.01)
        connected = None
        deadline = time.monotonic() + 20.0
        while connected is None and time.monotonic() < deadline:
            turn()
            try:
                connected = master.accept()[0]
            except TimeoutError:
                continue
        assert connected is not None
        for _ in range(20):
            turn()
        assert connected.recv(5) == b"hello"
        connected.close()
    server.abandon()
