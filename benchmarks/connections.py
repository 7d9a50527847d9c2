"""Measures of slaves that come over tcp with TLS: against local ones, bare sockets, and many."""

from __future__ import annotations

import gc
import logging
import resource
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from imp_parallel_tcp._credentials import RunCredentials
from imp_parallel_tcp._tls import SlaveCredentials
from imp_parallel_tcp._tls_stream import prepare
from payloads import MEGABYTE, check, echoes_s, run_script
from peers import Ours, Peer
from slaves import wait_until_idle
from tasks import Noop

from imp_parallel_core import Manager, SlaveArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support import file_launcher, many_slaves

_ECHO_BYTES = 100 * MEGABYTE
_MANY, _FEW = 2000, 10
_TASKS = 20_000


class OverTls(Ours):
    """This library, with slaves that come over the loopback."""

    def start(self) -> None:
        """Start the slaves."""
        logging.getLogger("imp_parallel").setLevel(logging.CRITICAL)
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self.manager = self._stack.enter_context(
            Manager(host="localhost", output=f"{folder}/%d", plugins=[file_launcher])
        )
        for _ in range(self.slaves):
            self.manager.add_slave(file_launcher.FileSlave())
        self.context = self.manager.get_context()


class Connections(Ours):
    """This library, with slaves that run nothing, in one process."""

    def __init__(self, slaves: int) -> None:
        super().__init__(slaves)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def start(self) -> None:
        """Begin to start the slaves."""
        logging.getLogger("imp_parallel").setLevel(logging.CRITICAL)
        self.manager = self._stack.enter_context(
            Manager(host="localhost", output=None, plugins=[many_slaves])
        )
        array: SlaveArray = many_slaves.ManySlaves(self.slaves)
        self.manager.add_slave(array)
        self.context = self.manager.get_context()

    def wait(self) -> float:
        """Wait until all slaves are connected; return the seconds."""
        begun_at = time.perf_counter()
        wait_until_idle(self.manager, 0.5)  # looking at thousands costs more than connecting some
        return time.perf_counter() - begun_at


def _rate(peer: Peer, count: int) -> float:
    begun_at = time.perf_counter()
    if sum(1 for _ in peer.run([Noop(number) for number in range(count)])) != count:
        raise RuntimeError("results are missing")
    return count / (time.perf_counter() - begun_at)


# ---- over TLS


def no_ops_over_tls(peer_type: type[Peer]) -> float:
    """Return the tasks/s of no-op tasks over TLS, as a part of what local slaves do."""
    rates = []
    for kind in (OverTls, Ours):
        with kind() as peer:
            _rate(peer, 1000)
            rates.append(_rate(peer, _TASKS))
    return rates[0] / rates[1]


def echo_over_tls(peer_type: type[Peer]) -> float:
    """Return how fast an array of 100 MB is echoed, as a part of what bare TLS sockets reach."""
    with OverTls() as peer:
        echoes_s(peer, _ECHO_BYTES, 1)
        ours_s = echoes_s(peer, _ECHO_BYTES, 1)
    with _tls_pair() as secured:
        _echo_through(secured)
        return _echo_through(secured) / ours_s


def _echo_through(secured: ssl.SSLSocket) -> float:
    array = np.arange(_ECHO_BYTES, dtype=np.uint8)
    begun_at = time.perf_counter()
    secured.sendall(array)
    check(np.frombuffer(_receive_all(secured), np.uint8), _ECHO_BYTES)
    return time.perf_counter() - begun_at


@contextmanager
def _tls_pair() -> Iterator[ssl.SSLSocket]:
    """Yield one end of a TLS connection; a process at the other echoes."""
    run = RunCredentials()
    with socket.create_server(("localhost", 0)) as listening:
        child = get_context("fork").Process(target=_serve, args=(listening, run))
        child.start()
        connected = socket.create_connection(listening.getsockname())
        prepare(connected)
        with SlaveCredentials(run.secret(0), 0).context.wrap_socket(connected) as secured:
            yield secured
    child.join()


def _serve(listening: socket.socket, run: RunCredentials) -> None:
    connected, _ = listening.accept()
    prepare(connected)
    with run.context.wrap_socket(connected, server_side=True) as secured:
        while data := _receive_all(secured):
            secured.sendall(data)


def _receive_all(secured: ssl.SSLSocket) -> bytearray:
    """Return as many bytes as are echoed, or none at the end."""
    data = bytearray(_ECHO_BYTES)
    view, at = memoryview(data), 0
    while at < len(data):
        count = secured.recv_into(view[at:])
        if not count:
            return bytearray()
        at += count
    return data


# ---- many


def connect_many(peer_type: type[Peer]) -> float:
    """Return the seconds until 2,000 slaves are connected; master and slaves share the machine."""
    with Connections(_MANY) as peer:
        return peer.wait()


def memory_of_each(peer_type: type[Peer]) -> float:
    """Return the kB that each of 2,000 slaves takes on a new master."""
    return float(run_script("import connections; print(connections.measure_memory())"))


def measure_memory() -> float:
    """Measure it, in a process of its own."""
    gc.collect()
    before = _own_memory()
    with Connections(_MANY) as peer:
        peer.wait()
        gc.collect()
        return (_own_memory() - before) / _MANY / 1000


def _own_memory() -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) * 1024


def rate_of_many(peer_type: type[Peer]) -> float:
    """Return the tasks/s of no-op tasks on 2,000 slaves, as a part of those on 10."""
    with Connections(_FEW) as few, Connections(_MANY) as many:
        for peer in (few, many):
            peer.wait()
            _rate(peer, 2 * _MANY)  # each is set up
        return _rate(many, _TASKS) / _rate(few, _TASKS)
