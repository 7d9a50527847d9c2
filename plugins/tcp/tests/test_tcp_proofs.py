"""The master lets in who proves to be one of its slaves; a slave serves its own master alone."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from imp_parallel_tcp._credentials import RunCredentials
from imp_parallel_tcp._tls import PROOF, TOKEN_BYTES, SlaveCredentials
from imp_parallel_tcp._transport import TcpTransport

from imp_parallel_core import Stream
from tests.support.waiting import wait_until

BOMB = b"cos\nsystem\n(S'touch pwned'\ntR."  # a pickle that makes a file


class Master:
    """A transport that listens at 127.0.0.1, and the indices of what it let in."""

    def __init__(self) -> None:
        self.transport = TcpTransport()
        self.accepted: list[int] = []
        (address,) = self.transport.listen("127.0.0.1", None, self._accept)
        self.address = "127.0.0.1", int(address.rpartition(":")[2])

    def _accept(self, index: int, stream: Stream) -> None:
        self.accepted.append(index)
        stream.close()

    def slave(self, index: int) -> SlaveCredentials:
        return SlaveCredentials(self.transport.secret(index), index)

    def hear(self, context: ssl.SSLContext, said: bytes) -> None:
        """Let a peer say something, and wait until its connection has ended."""
        connected = socket.create_connection(self.address, timeout=20)
        with connected, contextlib.suppress(OSError), context.wrap_socket(connected) as secured:
            secured.sendall(said)
            assert secured.recv(1) == b""


@pytest.fixture
def master() -> Iterator[Master]:
    made = Master()
    yield made
    made.transport.close()


def lets_in(master: Master, context: ssl.SSLContext, said: bytes) -> bool:
    """Whether the master lets in a peer that says this.

    A slave that comes after the peer is let in, so that the answer does not come too early.
    """
    before = len(master.accepted)
    master.hear(context, said)
    witness = master.slave(7_000)
    master.hear(witness.context, witness.proof)
    wait_until(lambda: 7_000 in master.accepted[before:])
    return len(master.accepted) > before + 1


def plain_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("index", [0, 5, 2**32 - 1])
def test_a_slave_is_let_in_by_its_own_number(master: Master, index: int) -> None:
    slave = master.slave(index)
    assert lets_in(master, slave.context, slave.proof)
    assert master.accepted[0] == index


@pytest.mark.parametrize(
    "token", [bytes(TOKEN_BYTES), os.urandom(TOKEN_BYTES)], ids=["zeros", "random"]
)
def test_who_has_no_token_is_turned_away(master: Master, token: bytes) -> None:
    assert not lets_in(master, plain_context(), PROOF.pack(0, token))


def test_a_slave_of_another_run_is_turned_away(master: Master) -> None:
    other = SlaveCredentials(RunCredentials().secret(0), 0)
    assert not lets_in(master, plain_context(), other.proof)


def test_who_says_more_than_the_proof_before_it_is_accepted_is_turned_away(master: Master) -> None:
    slave = master.slave(0)
    assert not lets_in(master, slave.context, slave.proof + BOMB)


@pytest.mark.parametrize("length", [0, 1, PROOF.size - 1])
def test_who_ends_before_the_proof_is_complete_is_turned_away(master: Master, length: int) -> None:
    slave = master.slave(0)
    connected = socket.create_connection(master.address, timeout=20)
    with slave.context.wrap_socket(connected) as secured:
        secured.sendall(slave.proof[:length])
    assert not lets_in(master, plain_context(), PROOF.pack(0, bytes(TOKEN_BYTES)))


def test_an_older_tls_is_not_spoken(master: Master) -> None:
    slave = master.slave(0)
    slave.context.minimum_version = ssl.TLSVersion.TLSv1_2
    slave.context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert not lets_in(master, slave.context, slave.proof)


@pytest.mark.parametrize("index", [1, 6, 2**32 - 1])
def test_the_holder_of_one_slaves_document_can_not_be_another_slave(
    master: Master, index: int
) -> None:
    """Neither one that has connected nor one that still waits in a queue."""
    stolen = SlaveCredentials(master.transport.secret(5), index)
    assert not lets_in(master, stolen.context, stolen.proof)


def test_the_holder_of_one_slaves_document_can_not_play_the_master_to_another(
    master: Master,
) -> None:
    """The document holds the master's certificate, and no key that would prove to own it."""
    stolen = master.transport.secret(5)[TOKEN_BYTES:]
    with pytest.raises(ValueError):
        serialization.load_der_private_key(stolen, None)
    asked, impostor = master.slave(6), RunCredentials()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def play_master() -> None:
            connected, _ = listening.accept()
            with connected, contextlib.suppress(OSError):
                impostor.context.wrap_socket(connected, server_side=True)

        thread = threading.Thread(target=play_master)
        thread.start()
        with (
            socket.create_connection(listening.getsockname(), timeout=20) as connected,
            pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            asked.context.wrap_socket(connected)
        thread.join()
