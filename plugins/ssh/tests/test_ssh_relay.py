"""What connects to the relay on a host reaches the master, also after the connection was lost."""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import client
from imp_parallel_ssh import SSHHost
from imp_parallel_ssh._connection import ForwardedStream
from imp_parallel_ssh._login_node import relay as _relay
from imp_parallel_ssh._login_node.relay import SSHRelay, relay_program
from imp_parallel_ssh._programs.relay import pairs
from imp_parallel_ssh._programs.relay.server import RelayServer

from imp_parallel_core import LaunchError
from imp_parallel_core.private_folders import with_private_folders
from imp_parallel_core.proofs import note_proof
from tests.support.harness import parent_of
from tests.support.ordinary_user import OrdinaryUser, ordinary_user
from tests.support.sshd import Daemons, Person, Sshd
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")

__all__ = ["client"]  # fixtures


class Echo:
    """A server that says what it hears; to whoever begins with a NUL it says nothing."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.open = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connected,), daemon=True).start()

    def _echo(self, connected: socket.socket) -> None:
        self.open += 1
        with connected:
            try:
                is_answered = connected.recv(1, socket.MSG_PEEK) != b"\0"
                if is_answered:
                    note_proof(connected.getpeername())
                while data := connected.recv(1 << 16):
                    if is_answered:
                        connected.sendall(data)
            except OSError:
                pass
        self.open -= 1

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


# (most of what a relay does has nothing to do with what speaks SSH)
by_both = pytest.mark.parametrize("host", ["paramiko", "openssh"], indirect=True)


@pytest.fixture
def host(
    request: pytest.FixtureRequest, person: Person, sshd: Sshd, ssh_program: None
) -> Iterator[SSHHost]:
    person.name(sshd, "there")
    made = SSHHost("there", client=getattr(request, "param", "paramiko"))
    yield made
    made.close()
    wait_until(lambda: not sshd.sessions(), 10.0, "the end of the connection")
    assert not list(Path(os.environ["TMPDIR"]).iterdir())


@pytest.fixture
def relay(host: SSHHost, echo: Echo, person: Person) -> Iterator[SSHRelay]:
    folder = host.make_private_folder(str(person.home), ".imp_parallel-")
    made = host.relay([echo.address], folder=folder, patience_s=30.0)
    yield made
    made.close()


def dial(relay: SSHRelay, timeout_s: float = 20.0) -> socket.socket:
    host, _, port = relay.addresses[0].rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s)


def say(connected: socket.socket, data: bytes) -> bytes:
    sender = threading.Thread(target=connected.sendall, args=(data,))
    sender.start()
    heard = b""
    while len(heard) < len(data):
        piece = connected.recv(1 << 20)
        if not piece:
            break
        heard += piece
    sender.join()
    return heard


@by_both
def test_many_connections_pass_both_ways_at_once(relay: SSHRelay, echo: Echo) -> None:
    talks = [dial(relay) for _ in range(30)]
    for number, talk in enumerate(talks):
        data = b"x" + os.urandom(100_000 + number)
        assert say(talk, data) == data
    large = b"x" + os.urandom(20_000_000)
    assert say(talks[0], large) == large
    for talk in talks:
        talk.close()
    wait_until(lambda: echo.open == 0, 10.0)


@by_both
def test_an_end_that_is_closed_closes_the_other(relay: SSHRelay, echo: Echo) -> None:
    with dial(relay) as talk:
        assert say(talk, b"x") == b"x"
        talk.shutdown(socket.SHUT_WR)
        assert talk.recv(10) == b""
    wait_until(lambda: echo.open == 0, 10.0)


def test_it_has_an_address_in_each_network_the_loopback_last(relay: SSHRelay) -> None:
    assert relay.addresses[-1].startswith(("127.0.0.1", "[::1]"))
    assert len({address.rpartition(":")[2] for address in relay.addresses}) == 1


def test_a_relay_that_shall_listen_at_one_address_does(
    person: Person, sshd: Sshd, echo: Echo
) -> None:
    person.name(sshd, "there")
    host = SSHHost("there", relay_host="127.0.0.1")
    folder = host.make_private_folder(str(person.home), ".imp_parallel-")
    relay = host.relay([echo.address], folder=folder, patience_s=30.0)
    assert [address.rpartition(":")[0] for address in relay.addresses] == ["127.0.0.1"]
    with dial(relay) as talk:
        assert say(talk, b"x") == b"x"
    relay.close()
    host.close()


@by_both
def test_it_ends_with_its_master_and_removes_its_folder(
    relay: SSHRelay, sshd: Sshd, person: Person
) -> None:
    assert any("relay.py" in line for line in sshd.started().values())
    assert list(person.home.glob(".imp_parallel-*"))
    relay.close()
    relay.close()
    wait_until(lambda: not sshd.started(), 15.0)
    assert not list(person.home.glob(".imp_parallel-*"))
    with pytest.raises(ConnectionRefusedError):
        dial(relay)


@by_both
def test_it_is_attached_again_after_the_connection_was_lost(
    relay: SSHRelay, sshd: Sshd, echo: Echo
) -> None:
    before = dial(relay)
    assert say(before, b"x") == b"x"
    sshd.kill_sessions()
    assert before.recv(10) == b""
    during = dial(relay)  # it is not refused, and waits
    assert say(during, b"y") == b"y"
    for talk in (before, during):
        talk.close()


@by_both
def test_it_holds_connections_while_the_host_lets_nobody_in(
    relay: SSHRelay, sshd: Sshd, echo: Echo
) -> None:
    before = dial(relay)
    assert say(before, b"x") == b"x"
    sshd.pause()
    assert before.recv(10) == b""
    before.close()
    with dial(relay) as talk:
        talk.sendall(b"patience")
        talk.settimeout(1.0)
        with pytest.raises(TimeoutError):
            talk.recv(10)
        sshd.start()
        talk.settimeout(20.0)
        assert talk.recv(10) == b"patience"


def test_it_leaves_in_the_time_to_reconnect_when_its_master_was_killed(
    person: Person, sshd: Sshd, echo: Echo, client: str
) -> None:
    person.name(sshd, "there")
    script = (
        "import sys\n"
        "from imp_parallel_ssh import SSHHost\n"
        "host = SSHHost('there', client=sys.argv[3])\n"
        "folder = host.make_private_folder(sys.argv[1], '.imp_parallel-')\n"
        "relay = host.relay([sys.argv[2]], folder=folder, patience_s=5.0)\n"
        "print('on', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(person.home), echo.address, client],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"on\n"
    process.kill()
    process.communicate()
    killed_at = time.monotonic()
    wait_until(lambda: not sshd.started(), 30.0)
    assert time.monotonic() - killed_at > 3.0
    assert not list(person.home.glob(".imp_parallel-*"))


def test_a_host_that_forwards_nothing_is_an_error_that_says_so(
    person: Person, daemons: Daemons, echo: Echo, client: str
) -> None:
    sshd = daemons.start(options=["AllowTcpForwarding no"])
    person.name(sshd, "there")
    host = SSHHost("there", client=client)
    folder = host.make_private_folder(str(person.home), ".imp_parallel-")
    with pytest.raises(LaunchError, match="AllowTcpForwarding"):
        host.relay([echo.address], folder=folder, patience_s=30.0)
    host.close()


@by_both
def test_once_attached_again_it_stays_so(relay: SSHRelay, sshd: Sshd) -> None:
    before = dial(relay)
    assert say(before, b"x") == b"x"
    sshd.kill_sessions()
    assert before.recv(10) == b""
    before.close()
    with dial(relay) as talk:
        assert say(talk, b"y") == b"y"
        talk.settimeout(6.0)
        with pytest.raises(TimeoutError):
            talk.recv(10)
        assert say(talk, b"z") == b"z"


@pytest.fixture
def small_relay(sshd: Sshd, host: SSHHost, echo: Echo, person: Person) -> Iterator[SSHRelay]:
    """Start a relay that may have few descriptors, for a master that is at "echo"."""
    (sshd.home / ".bashrc").write_text("ulimit -n 128\n")
    folder = host.make_private_folder(str(person.home), ".imp_parallel-")
    made = host.relay([echo.address], folder=folder, patience_s=30.0)
    yield made
    made.close()
    wait_until(lambda: not sshd.started(), 15.0)
    assert not list(person.home.glob(".imp_parallel-*"))


def dial_many(relay: SSHRelay, number: int, word: bytes = b"") -> list[socket.socket]:
    found = []
    for _ in range(number):
        found.append(dial(relay))
        found[-1].sendall(word)
    return found


def pid_of(sshd: Sshd) -> int:
    """Return the relay's process: the one that another of the same program has started."""
    pids = [pid for pid, line in sshd.started().items() if " serve " in line]
    (found,) = [pid for pid in pids if parent_of(pid) in pids]
    return found


@by_both
def test_those_who_say_nothing_neither_stop_it_nor_reach_the_master(
    small_relay: SSHRelay, echo: Echo
) -> None:
    idle = dial_many(small_relay, 500)
    with dial(small_relay) as talk:
        assert say(talk, b"x") == b"x"
        assert echo.open == 1
    for each in idle:
        each.close()


def test_those_whom_the_master_does_not_answer_give_way(small_relay: SSHRelay, echo: Echo) -> None:
    with dial(small_relay) as before:
        assert say(before, b"x") == b"x"
        unanswered = dial_many(small_relay, 100, b"\0")
        with dial(small_relay) as talk:
            assert say(talk, b"y") == b"y"
            assert say(before, b"z") == b"z"
    for each in unanswered:
        each.close()


@pytest.mark.parametrize("word", [b"\x16", b"\x16\3\1\2\0\1\0\1\xfc"], ids=["a byte", "nine bytes"])
def test_those_who_never_end_what_they_have_begun_neither_stop_it_nor_reach_the_master(
    small_relay: SSHRelay, echo: Echo, word: bytes
) -> None:
    idle = dial_many(small_relay, 200, word)
    with dial(small_relay) as talk:
        assert say(talk, b"x") == b"x"
        assert echo.open == 1
        record = b"\x16\3\1\0\4abcd"
        with dial(small_relay) as slow:
            for at in range(len(record)):
                slow.sendall(record[at : at + 1])
            assert slow.recv(100) == record
            assert say(slow, b"y") == b"y"
    for each in idle:
        each.close()


@pytest.fixture
def relay_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, echo: Echo
) -> Iterator[int]:
    """Run a relay in this process that has patience with whom the master does not answer."""
    monkeypatch.setattr(pairs, "UNANSWERED_S", 100.0)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(tmp_path / "door"))
    door.listen()
    listening = socket.create_server(("127.0.0.1", 0), backlog=500)
    listening.setblocking(False)
    server = RelayServer([listening], door, 30.0, 1024)
    thread = threading.Thread(target=server.run)
    thread.start()
    keeper = socket.socket(socket.AF_UNIX)
    keeper.connect(str(tmp_path / "door"))
    keeper.sendall(b"port %s\n" % echo.address.rpartition(":")[2].encode())
    yield listening.getsockname()[1]
    keeper.sendall(b"bye\n")
    thread.join(20)
    server.abandon()
    keeper.close()


def test_many_from_one_address_keep_nobody_out_who_comes_from_another(
    relay_of_one_process: int, echo: Echo
) -> None:
    place = ("127.0.0.1", relay_of_one_process)
    idle = []
    for _ in range(200):
        idle.append(socket.create_connection(place, 20, source_address=("127.0.0.2", 0)))
        idle[-1].sendall(b"\0")
    wait_until(lambda: echo.open >= 64)
    with socket.create_connection(place, 20) as talk:
        assert say(talk, b"y") == b"y"
    for each in idle:
        each.close()


def test_out_of_descriptors_it_rests_and_still_goes_without_a_trace(
    small_relay: SSHRelay, sshd: Sshd
) -> None:
    with dial(small_relay) as before:
        assert say(before, b"x") == b"x"
        idle = dial_many(small_relay, 10)
        pid = pid_of(sshd)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (10, 10))
        idle += dial_many(small_relay, 10)
        spent_s = cpu_s(pid)
        time.sleep(1.0)
        assert cpu_s(pid) - spent_s < 0.3
        assert say(before, b"y") == b"y"
    small_relay.close()
    wait_until(lambda: not sshd.started(), 15.0)
    for each in idle:
        each.close()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_relay_that_has_gone_for_certain_is_said_to_have_gone_without_more_patience(
    host: SSHHost, echo: Echo, person: Person, sshd: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    folder = host.make_private_folder(str(person.home), ".imp_parallel-")
    relay = host.relay([echo.address], folder=folder, patience_s=3600.0)
    os.kill(pid_of(sshd), signal.SIGTERM)
    wait_until(lambda: "its slaves are lost: " in caplog.text)
    assert "the relay has gone, with its program " in caplog.text
    wait_until(lambda: not sshd.started())
    relay.close()


@pytest.fixture
def user() -> Iterator[OrdinaryUser]:
    with ordinary_user() as made:
        yield made


def serve_as(user: OrdinaryUser, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a relay as an ordinary user, without SSH; return its keeper and where its socket is."""
    program = user.scratch / "relay.py"
    program.write_bytes(relay_program())
    (user.scratch / "tmp").mkdir()
    user.give(user.scratch / "tmp")
    keeper = subprocess.Popen(
        [*user.prefix, user.python, str(program), "serve", "5", "127.0.0.1", str(folder)],
        env={**os.environ, "TMPDIR": str(user.scratch / "tmp")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert keeper.stdout is not None
    return keeper, json.loads(keeper.stdout.readline())["socket"]


def child_of(keeper: subprocess.Popen[bytes]) -> int:
    (found,) = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
    return int(found)


def test_a_keeper_whose_relay_ends_says_so_in_a_line(user: OrdinaryUser) -> None:
    make = (
        "import sys\nfrom imp_parallel_core import private_folders\n"
        f"print(private_folders.make_private_folder({str(user.scratch)!r}, '.imp_parallel-'))\n"
    )
    made = subprocess.run(
        [*user.prefix, user.python, "-c", with_private_folders(make.encode())],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    keeper, socket_path = serve_as(user, Path(made.stdout.strip()))
    os.kill(child_of(keeper), signal.SIGTERM)
    assert keeper.wait(5.0) == 1
    assert keeper.communicate()[1] == b"the relay has ended\n"
    program, tmp = user.scratch / "relay.py", user.scratch / "tmp"
    wait_until(lambda: sorted(user.scratch.glob("**/*")) == [program, tmp], 15.0)
    again = subprocess.run(
        [sys.executable, program, "attach", socket_path],
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert again.stderr.startswith(b"the relay has gone: ")
    assert again.stderr.count(b"\n") == 1


class Master:
    """The master's end of a relay without SSH, which is told by its keeper where that listens."""

    def __init__(self, keeper: subprocess.Popen[bytes]) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        assert keeper.stdin is not None
        keeper.stdin.write(b"port %d\n" % self.listening.getsockname()[1])
        keeper.stdin.flush()

    def accept(self, word: bytes) -> socket.socket:
        """Return the next connection, in which this was said."""
        self.listening.settimeout(20.0)
        connected = self.listening.accept()[0]
        connected.settimeout(20.0)
        assert connected.recv(len(word), socket.MSG_WAITALL) == word
        return connected


def reset(connected: socket.socket) -> None:
    """Close a connection as the system does when its process was killed with data unread."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connected.close()


@pytest.fixture
def bare_relay(user: OrdinaryUser) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a relay without SSH; yield its keeper and the address to dial."""
    folder = user.scratch / "none"
    keeper, _ = serve_as(user, folder)
    relay = child_of(keeper)
    ports = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {path.readlink().name for path in Path(f"/proc/{relay}/fd").iterdir()}
    (port,) = [int(p[1][-4:], 16) for p in ports if f"socket:[{p[9]}]" in inodes and p[3] == "0A"]
    yield keeper, f"127.0.0.1:{port}"
    keeper.kill()
    keeper.communicate()
    wait_until(lambda: not Path(f"/proc/{relay}").exists(), 20.0, "the end of the relay")


def test_connections_that_break_at_the_same_time_break_nothing_else(
    bare_relay: tuple[subprocess.Popen[bytes], str],
) -> None:
    keeper, address = bare_relay
    host, _, port = address.rpartition(":")
    master, relay = Master(keeper), child_of(keeper)
    pairs = []
    for number in range(40):
        near = socket.create_connection((host, int(port)), timeout=20.0)
        near.sendall(b"%2d" % number)
        far = master.accept(b"%2d" % number)
        far.sendall(b"answer")
        assert near.recv(6, socket.MSG_WAITALL) == b"answer"
        pairs.append((near, far))
    stays_near, stays_far = pairs.pop()
    os.kill(relay, signal.SIGSTOP)  # all that follows reaches it in one turn
    wait_until(lambda: Path(f"/proc/{relay}/stat").read_text().split()[2] == "T", 10.0)
    for number, (near, far) in enumerate(pairs):
        if number % 2:
            near.sendall(bytes(100_000))
            far.sendall(bytes(100_000))
        for end in ((near, far), (far, near))[number % 3 == 0]:
            reset(end)
    strangers = [socket.create_connection((host, int(port)), timeout=20.0) for _ in range(50)]
    for number, stranger in enumerate(strangers):
        if number % 2:
            stranger.sendall(b"garbage")
        reset(stranger)
    os.kill(relay, signal.SIGCONT)
    stays_near.sendall(b"still there")
    assert stays_far.recv(11, socket.MSG_WAITALL) == b"still there"
    assert keeper.poll() is None
    reset(stays_near)
    assert stays_far.recv(1) == b""
    for each in (stays_far, master.listening):
        each.close()


def test_a_bug_in_a_relay_costs_one_connection_and_is_reported(tmp_path: Path) -> None:
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(tmp_path / "door"))
    door.listen()
    relay = RelayServer([], door, 30.0, 1024)
    keeper = socket.socket(socket.AF_UNIX)
    keeper.connect(str(tmp_path / "door"))
    relay.master.attach(door, 0)
    one, other = socket.socketpair()

    def fail(sock: socket.socket, events: int) -> None:
        raise ZeroDivisionError("this must not end it")

    for _ in range(50):
        relay.handle(other, fail, 0)
    assert one.recv(1) == b""
    relay.abandon()
    said = b"".join(iter(lambda: keeper.recv(1 << 16), b"")).splitlines()
    assert len(said) == 20
    assert all("ZeroDivisionError: this must not end it" in json.loads(x)["trouble"] for x in said)
    for each in (one, door, keeper):
        each.close()


def test_what_a_relay_reports_is_logged_once_and_not_without_end(
    relay: SSHRelay, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [json.dumps({"trouble": f"trouble {number}\n"}).encode() for number in range(1000)]
    relay._take_reports(b"\n".join([b"nonsense", *lines]) + b"\n")
    relay._take_reports(bytes(10_000_000))
    assert "trouble 0" in caplog.text
    assert "nonsense" in caplog.text
    assert len(caplog.records) == 20
    assert len(relay._said) < 100_000


@pytest.mark.parametrize(
    "answer",
    ["nonsense", "[]", "{}", '{"addresses": 3, "socket": "x"}', '{"addresses": ["x"]}', "[" * 9999],
)
def test_a_relays_answer_that_is_none_is_a_launch_error(
    host: SSHHost,
    echo: Echo,
    person: Person,
    sshd: Sshd,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    program = f"print({answer!r}, flush=True); import sys; sys.stdin.read()"
    monkeypatch.setattr(_relay, "relay_program", program.encode)
    folder = host.make_private_folder(str(person.home), ".imp_parallel-")
    with pytest.raises(LaunchError, match="can't be understood"):
        host.relay([echo.address], folder=folder, patience_s=30.0)
    wait_until(lambda: not sshd.started(), 10.0)


def test_a_relay_that_answers_without_end_is_a_launch_error(
    host: SSHHost, echo: Echo, person: Person, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = b"import sys\nwhile True: sys.stdout.write('x' * 100000)"
    monkeypatch.setattr(_relay, "relay_program", lambda: program)
    folder = host.make_private_folder(str(person.home), ".imp_parallel-")
    with pytest.raises(LaunchError, match="it said far too much"):
        host.relay([echo.address], folder=folder, patience_s=30.0)
    wait_until(lambda: not sshd.started(), 10.0)


def test_a_relay_that_is_told_a_folder_of_somebody_elses_leaves_it(user: OrdinaryUser) -> None:
    mine = user.scratch / ".imp_parallel-mine"
    mine.mkdir(mode=0o700)
    user.give(mine)
    (mine / "file").touch()
    keeper, socket_path = serve_as(user, mine)
    os.kill(child_of(keeper), signal.SIGTERM)
    keeper.communicate()
    wait_until(lambda: not Path(socket_path).parent.exists(), 15.0)
    assert (mine / "file").exists()


def test_a_relay_finds_a_place_where_the_usual_one_has_a_long_name(
    person: Person, sshd: Sshd, host: SSHHost, echo: Echo
) -> None:
    long = sshd.folder / ("x" * 100)
    long.mkdir()
    (sshd.home / ".bashrc").write_text(f"export TMPDIR={long}\n")
    folder = host.make_private_folder(str(person.home), ".imp_parallel-")
    relay = host.relay([echo.address], folder=folder, patience_s=30.0)
    with dial(relay) as talk:
        assert say(talk, b"x") == b"x"
    relay.close()


@by_both
def test_closing_it_does_not_wait_for_a_host_that_is_silent(
    relay: SSHRelay, host: SSHHost, sshd: Sshd
) -> None:
    sshd.signal(signal.SIGSTOP)
    try:
        sshd.kill_sessions()
        wait_until(lambda: host._shared.is_being_made, 10.0)
        begun = time.monotonic()
        relay.close()
        host.close()
        assert time.monotonic() - begun < 4.0
    finally:
        sshd.signal(signal.SIGCONT)
    # nobody needs the connection any more, which is made at last
    wait_until(lambda: not host._shared.is_being_made and host._shared.existing() is None, 20.0)
    wait_until(lambda: not sshd.sessions(), 10.0)


@by_both
def test_closing_it_does_not_wait_for_a_session_that_is_silent(
    relay: SSHRelay, host: SSHHost, sshd: Sshd
) -> None:
    sshd.signal_sessions(signal.SIGSTOP)
    begun = time.monotonic()
    relay.close()
    assert time.monotonic() - begun < 4.5
    assert host._shared.existing() is None
    sshd.signal_sessions(signal.SIGCONT)


@by_both
def test_a_port_that_is_forwarded_no_more_is_closed_and_what_was_connected_stays(
    host: SSHHost,
) -> None:
    connection = host.connection()
    streams: queue.SimpleQueue[ForwardedStream] = queue.SimpleQueue()
    port = connection.forward(streams.put)
    with socket.create_connection(("127.0.0.1", port), timeout=20.0) as talk:
        stream = streams.get(timeout=20.0)
        connection.stop_forwarding(port)
        connection.stop_forwarding(port)
        wait_until(lambda: is_refused(port), 10.0)
        stream.send([b"y"])
        assert talk.recv(1) == b"y"
        stream.give_up()
        assert talk.recv(1) == b""


def is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=20.0).close()
    except ConnectionRefusedError:
        return True
    return False


@by_both
def test_a_connection_lost_while_forwarding_is_asked_for_is_no_refusal(
    host: SSHHost, sshd: Sshd
) -> None:
    connection = host.connection()
    sshd.signal_sessions(signal.SIGSTOP)
    threading.Timer(0.5, sshd.kill_sessions).start()
    with pytest.raises(ConnectionResetError, match="connection was lost"):
        connection.forward(lambda stream: None)
    with pytest.raises(ConnectionResetError, match="connection was lost"):
        connection.forward(lambda stream: None)
