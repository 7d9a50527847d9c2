"""Many hosts behind one gateway, which drops connections when there are many."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import MakeSlave, client, make_slave
from imp_parallel_ssh import SSHSlaveArray

from imp_parallel_core import Manager, NoSlaveStartedError
from tests.support.sshd import Daemons, Person, Sshd

__all__ = ["client", "make_slave"]  # fixtures

HOSTS = 24


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("limit", ["10:30:100", "8:100:8"], ids=["sshd's default", "a strict one"])
def test_all_of_24_hosts_behind_one_gateway_that_drops_connections_work(
    person: Person, daemons: Daemons, client: str, limit: str
) -> None:
    gateway = daemons.start(options=[f"MaxStartups {limit}"])
    inner = daemons.start()
    person.name(gateway, "gateway")
    hosts = [f"host{number}" for number in range(HOSTS)]
    for host in hosts:
        person.name(inner, host, "ProxyJump gateway")
    with Manager() as manager:
        manager.add_slave(SSHSlaveArray(hosts, client=client))
        context = manager.get_context()
        for _ in range(HOSTS):
            context.add_task(Meet(HOSTS))
        assert len(set(context.get_results_unordered())) == HOSTS


class Meet:
    """Returns when as many slaves are at it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.folder = Path.cwd()

    def __call__(self) -> int:
        (self.folder / f"met-{os.getpid()}").touch()
        while len(list(self.folder.glob("met-*"))) < self.count:
            time.sleep(0.05)
        return os.getpid()


class Doorkeeper:
    """A port that drops the first connections without a word, and forwards the others.

    Args:
        to: the port where those go.
        dropped: how many are dropped.
    """

    def __init__(self, to: int, dropped: int) -> None:
        self.seen = 0
        self._to, self._dropped = to, dropped
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listening.accept()
                self.seen += 1
                if self.seen <= self._dropped:
                    connected.close()
                    continue
                onward = socket.create_connection(("127.0.0.1", self._to))
                for one, other in ((connected, onward), (onward, connected)):
                    threading.Thread(target=_copy, args=(one, other), daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError), source:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def doorkeeper(person: Person, daemons: Daemons) -> Iterator[Doorkeeper]:
    """A daemon that can be reached as "there", but not at once."""
    sshd = daemons.start()
    made = Doorkeeper(sshd.port, dropped=3)
    _name(person, sshd, made.port)
    yield made
    made.close()


def _name(person: Person, sshd: Sshd, port: int) -> None:
    person.name(sshd, "there", f"HostKeyAlias [{sshd.address}]:{sshd.port}")
    text = person.config.read_text().replace(f"Port {sshd.port}", f"Port {port}")
    person.config.write_text(text)


def test_a_connection_that_is_dropped_before_login_is_tried_again(
    doorkeeper: Doorkeeper, make_slave: MakeSlave
) -> None:
    with Manager() as manager:
        manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(lambda: "there")
        assert list(context.get_results_unordered()) == ["there"]
    assert doorkeeper.seen > 3


def test_a_port_where_nobody_speaks_ssh_is_given_up_soon(
    person: Person, daemons: Daemons, make_slave: MakeSlave
) -> None:
    sshd = daemons.start()
    doorkeeper = Doorkeeper(sshd.port, dropped=1000)
    _name(person, sshd, doorkeeper.port)
    with Manager() as manager:
        manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(lambda: "there")
        with pytest.raises(NoSlaveStartedError) as why:
            list(context.get_results_unordered())
    doorkeeper.close()
    assert str(doorkeeper.port) in str(why.value)
    assert 1 < doorkeeper.seen < 8
