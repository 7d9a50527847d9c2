"""Commands over one connection: their bytes, their ends, and the connection's own end."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from imp_parallel_ssh._paramiko.connect import connect
from imp_parallel_ssh._paramiko.connection import ParamikoConnection
from imp_parallel_ssh._paramiko.stream import ParamikoStream
from imp_parallel_ssh._target import Target

from tests.support.networks import Network
from tests.support.sshd import Daemons, Person, Sshd
from tests.support.waiting import wait_until


@pytest.fixture
def connection(person: Person, sshd: Sshd) -> Iterator[ParamikoConnection]:
    person.name(sshd, "there")
    made = connect(Target("there"), 20.0)
    yield made
    made.close()


class Talk:
    """Does to a channel what the engine does: it never waits but for a wake-up."""

    def __init__(self, connection: ParamikoConnection, command: str) -> None:
        self.errors = bytearray()
        self.channel = connection.start(command, self.errors.extend)
        assert isinstance(self.channel.stream, ParamikoStream)
        self.stream = self.channel.stream
        self._wake_up = threading.Event()
        self.stream.on_wake_up(self._wake_up.set)

    def wait(self, limit_s: float = 20.0) -> None:
        assert self._wake_up.wait(limit_s), "it was never woken"
        self._wake_up.clear()

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self.stream.send([view[:1000], view[1000 : 1 << 20]]) :]
            except BlockingIOError:
                self.wait()

    def receive(self, limit_bytes: int = 1 << 18) -> bytes:
        while True:
            try:
                return self.stream.receive(limit_bytes)
            except BlockingIOError:
                self.wait()

    def refuses(self, data: bytes) -> bool:
        try:
            self.stream.send([data])
        except OSError:
            return True
        return False

    def receive_all(self) -> bytes:
        return b"".join(iter(self.receive, b""))


def test_bytes_arrive_as_they_were_sent_in_both_directions(connection: ParamikoConnection) -> None:
    talk = Talk(connection, "cat")
    sent = os.urandom(5_000_000)
    sender = threading.Thread(target=talk.send, args=(sent,))
    received = b""
    sender.start()
    while len(received) < len(sent):
        piece = talk.receive(70_001)
        assert 0 < len(piece) <= 70_001
        received += piece
    sender.join()
    assert hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()
    talk.stream.close()
    wait_until(lambda: talk.channel.exit_status() == 0, 15.0)
    talk.channel.close()


def test_the_end_of_a_command_is_the_end_of_its_stream(connection: ParamikoConnection) -> None:
    talk = Talk(connection, "echo out; echo err >&2; exit 7")
    assert talk.receive_all() == b"out\n"
    wait_until(lambda: talk.channel.exit_status() is not None, 15.0)
    assert talk.channel.exit_status() == 7
    assert talk.errors == b"err\n"
    wait_until(lambda: talk.refuses(b"too late"), 15.0)


def test_how_a_command_ends_is_not_known_while_it_runs_or_after_a_signal(
    connection: ParamikoConnection,
) -> None:
    talk = Talk(connection, "read line; kill -9 $$")
    assert talk.channel.exit_status() is None
    talk.send(b"go\n")
    assert talk.receive_all() == b""
    assert talk.channel.exit_status() is None


def test_a_flood_of_errors_does_not_keep_the_output_waiting(connection: ParamikoConnection) -> None:
    talk = Talk(connection, "head -c 20000000 /dev/zero >&2; echo done")
    assert talk.receive_all() == b"done\n"
    wait_until(lambda: len(talk.errors) == 20_000_000)


def test_a_command_that_nobody_reads_holds_nothing_up_and_takes_little_memory(
    connection: ParamikoConnection,
) -> None:
    unread = Talk(connection, "yes")
    assert unread.receive(1) == b"y"
    other = Talk(connection, "head -c 20000000 /dev/zero")
    assert len(other.receive_all()) == 20_000_000
    waiting = sum(map(len, unread.stream._received._pieces))
    assert waiting <= 2 << 20, "more than the window"
    unread.channel.close()


def test_a_command_that_does_not_read_takes_a_limited_amount(
    connection: ParamikoConnection,
) -> None:
    talk = Talk(connection, "sleep 60")
    total = 0
    deadline = time.monotonic() + 3.0
    while time.monotonic() < deadline:
        try:
            total += talk.stream.send([bytes(1 << 18)])
        except BlockingIOError:
            time.sleep(0.01)
    assert total < 8 << 20
    assert Talk(connection, "echo on").receive_all() == b"on\n"
    talk.channel.close()


def test_what_was_sent_is_written_before_a_closed_stream_ends(
    connection: ParamikoConnection,
) -> None:
    talk = Talk(connection, "wc -c >&2")
    talk.send(bytes(3_000_000))
    talk.stream.close()
    talk.stream.close()
    wait_until(lambda: talk.errors.strip() == b"3000000")
    talk.channel.close()


def test_many_commands_share_a_connection(connection: ParamikoConnection) -> None:
    talks = [Talk(connection, f"read line; echo {number} $line") for number in range(20)]
    for talk in talks:
        talk.send(b"x\n")
    assert [talk.receive_all() for talk in talks] == [b"%d x\n" % n for n in range(20)]


def test_a_host_that_allows_few_sessions_is_an_error_that_says_so(
    person: Person, daemons: Daemons
) -> None:
    sshd = daemons.start(options=["MaxSessions 2"])
    person.name(sshd, "there")
    connection = connect(Target("there"), 20.0)
    kept = [connection.start("cat", bytearray().extend) for _ in range(2)]
    with pytest.raises(OSError, match="MaxSessions"):
        connection.start("cat", bytearray().extend)
    assert kept[0].exit_status() is None
    connection.close()


def test_commands_may_end_while_keys_are_exchanged_anew(connection: ParamikoConnection) -> None:
    packetizer = connection.transport.packetizer
    packetizer.REKEY_BYTES = 100_000  # as if there had been half a gigabyte
    begun = time.monotonic()
    for _ in range(20):
        talks = [Talk(connection, f"head -c {size} /dev/zero") for size in (50_000, 99_000, 7)]
        assert [len(talk.receive_all()) for talk in talks] == [50_000, 99_000, 7]
        for talk in talks:
            talk.channel.close()
    assert time.monotonic() - begun < 25.0


# ---- the end of a connection


def test_a_killed_session_is_noticed_at_once_and_ends_the_streams(
    connection: ParamikoConnection, sshd: Sshd
) -> None:
    talk = Talk(connection, "cat")
    lost: list[str] = []
    connection.on_loss(lost.append)
    start = time.monotonic()
    sshd.kill_sessions()
    assert talk.receive_all() == b""
    wait_until(lambda: lost, 15.0)
    assert time.monotonic() - start < 3.0
    assert "the connection to there" in lost[0]
    with pytest.raises(OSError, match="there"):
        connection.start("echo", print)
    late: list[str] = []
    connection.on_loss(late.append)
    assert late == lost


def test_closing_a_connection_is_no_loss_and_leaves_no_thread(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "there")
    before = set(threading.enumerate())
    connection = connect(Target("there"), 20.0)
    lost: list[str] = []
    connection.on_loss(lost.append)
    talk = Talk(connection, "cat")
    connection.close()
    connection.close()
    assert talk.receive_all() == b""
    wait_until(lambda: not set(threading.enumerate()) - before, 15.0)
    assert not lost
    wait_until(lambda: not sshd.started(), 15.0)


def test_a_forked_child_leaves_the_connection_alone(connection: ParamikoConnection) -> None:
    talk = Talk(connection, "cat")
    talk.send(b"before")
    assert talk.receive() == b"before"
    pid = os.fork()
    if not pid:
        try:
            talk.channel.close()
            connection.close()
            del talk
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    talk.send(b"after")
    assert talk.receive() == b"after"


CUT = """
import sys, threading, time
from imp_parallel_ssh._paramiko.connect import connect
from imp_parallel_ssh._target import Target

connection = connect(Target("inner"), 20.0)
channel = connection.start("while sleep 0.2; do echo alive; done" if {talks} else "cat", print)
lost, over = [], threading.Event()
connection.on_loss(lambda how: (lost.append(how), over.set()))
channel.stream.on_wake_up(lambda: None)
print("connected", flush=True)
sys.stdin.readline()
start = time.monotonic()
if {talks}:
    channel.stream.send([bytes(1000)])
over.wait(50)
print(f"{{time.monotonic() - start:.1f}} {{lost}}", flush=True)
"""


@pytest.mark.parametrize("jump", [False, True], ids=["directly", "behind a jump host"])
def test_a_silent_cut_is_noticed_in_time_whether_anything_is_said_or_not(
    person: Person, daemons: Daemons, network: Network, jump: bool
) -> None:
    for host in ("home", "gate", "inner"):
        network.add_host(host)
    network.add_cable("home", "gate")
    network.add_cable("gate", "inner")
    network.add_cable("home", "inner")
    address = "10.78.1.2" if jump else "10.78.2.2"
    inner = daemons.start(address=address, port=22, prefix=network.inside_as_root("inner"))
    gate = daemons.start(address="10.78.0.2", port=22, prefix=network.inside_as_root("gate"))
    person.name(gate, "gate")
    person.name(inner, "inner", "ProxyJump " + ("gate" if jump else "none"))
    scripts = [
        subprocess.Popen(
            [*network.inside("home"), sys.executable, "-c", CUT.format(talks=talks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for talks in (False, True)
    ]
    for script in scripts:
        assert script.stdout is not None
        assert script.stdout.readline() == "connected\n"
    network.cut("inner")
    for script in scripts:
        assert script.stdin is not None
        script.stdin.write("go\n")
        script.stdin.flush()
    for script in scripts:
        out, _ = script.communicate(timeout=55)
        seconds, _, how = out.strip().rpartition("\n")[2].partition(" ")
        assert float(seconds) < 27.0
        assert "the connection to inner" in how
