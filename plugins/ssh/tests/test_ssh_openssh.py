"""OpenSSH's own client: what the user's configuration says is respected, and errors say why."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hosts import client
from imp_parallel_ssh import SSHHost, SSHSlave
from imp_parallel_ssh._connection import Channel
from imp_parallel_ssh._diagnosis import SshOutput
from imp_parallel_ssh._login_node.forwarding import forwarder
from imp_parallel_ssh._openssh.channel import OpenSSHChannel
from imp_parallel_ssh._openssh.connection import OpenSSHConnection

from imp_parallel_core import LaunchError, Manager
from tests.support.batch import Batch, BatchArray
from tests.support.checking import check_says_the_same
from tests.support.sshd import ME, Person, Sshd, make_key
from tests.support.waiting import is_alive, wait_until

__all__ = ["client"]  # fixtures

pytestmark = [
    pytest.mark.parametrize("client", ["openssh"], indirect=True),
    pytest.mark.usefixtures("client"),
]


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def error_at(target: str, timeout_s: float = 10.0) -> str:
    """Return why a host can't be connected to, which a check of a slave there must say, too."""
    with pytest.raises(LaunchError) as caught:
        OpenSSHConnection(target, timeout_s)
    assert ".." not in str(caught.value)
    check_says_the_same(str(caught.value), f"SSHSlave({target!r}, client='openssh')")
    return str(caught.value)


def answer_of(target: str, command: str = "echo hello") -> str:
    with (
        closing(OpenSSHConnection(target, 10.0)) as connection,
        closing(connection.start(command, lambda data: None)) as channel,
    ):
        return all_of(channel)


def all_of(channel: Channel) -> str:
    said = b""
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline:
        try:
            data = channel.stream.receive(1000)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        if not data:
            break
        said += data
    return said.decode()


def unknown(person: Person, sshd: Sshd, *more: str) -> None:
    """Give a daemon an alias, whose host key nobody knows."""
    person.name(sshd, "there", *more)
    person.known_hosts.write_text("")


def test_an_unknown_host_is_refused_with_its_fingerprint_and_what_to_do(
    person: Person, sshd: Sshd
) -> None:
    unknown(person, sshd)
    error = error_at("there")
    assert f"can't connect to there ({ME}@127.0.0.1, port {sshd.port}): " in error
    assert "Host key verification failed\n" in error
    assert f"Its host key is ssh-ed25519 {sshd.fingerprint}\n" in error
    assert str(person.known_hosts) in error
    assert error.endswith("Try it by hand: ssh there\nMore: imp-parallel explain host-key-unknown")


@pytest.mark.parametrize("is_users", [False, True], ids=["its own", "the user's"])
def test_an_ssh_that_does_not_heed_that_it_is_to_end_is_killed(
    person: Person, sshd: Sshd, tmp_path: Path, is_users: bool
) -> None:
    path = tmp_path / "users"  # of the control socket of the user's own connection
    person.name(sshd, "there", *([f"ControlPath {path}"] if is_users else []))
    with ExitStack() as users:
        if is_users:
            command = ["ssh", "-M", "-N", "there"]
            master = users.enter_context(subprocess.Popen(command))
            users.callback(master.terminate)
            wait_until(path.exists, what="the user's connection")
        program = Path(os.environ["PATH"].partition(":")[0], "ssh")
        program.write_text(program.read_text().replace("exec ", "trap '' TERM\nexec "))
        connection = OpenSSHConnection("there", 10.0)
        # (cat ends with its input, as slaves do; sshd ends nothing when a connection ends)
        channel = connection.start("cat", lambda data: None)
        assert isinstance(channel, OpenSSHChannel)
        pids = [connection._anchor.pid, channel._process.pid]
        wait_until(lambda: "cat " in sshd.started().values(), what="the command")
        os.kill(pids[1], signal.SIGSTOP)  # it sets up a heeding of its own
        begun_at = time.monotonic()
        connection.close()
        channel.close()
        assert time.monotonic() - begun_at < 30.0
        assert not [pid for pid in pids if is_alive(pid)]
        assert not [*Path(tempfile.gettempdir()).iterdir()], "its control socket has gone, too"
    wait_until(lambda: not sshd.started(), what="nothing goes on there")


def test_a_quiet_configuration_does_not_hide_the_reason(person: Person, sshd: Sshd) -> None:
    unknown(person, sshd, "LogLevel QUIET")
    assert "Host key verification failed" in error_at("there")


def test_a_host_key_that_has_changed_is_refused_with_ssh_s_own_warning(
    person: Person, sshd: Sshd, tmp_path: Path
) -> None:
    unknown(person, sshd)
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    person.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    error = error_at("there")
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in error
    assert sshd.fingerprint in error
    assert "@@@" not in error


def test_what_the_configuration_says_of_unknown_hosts_is_respected(
    person: Person, sshd: Sshd
) -> None:
    unknown(person, sshd, "StrictHostKeyChecking accept-new")
    assert answer_of("there") == "hello\n"
    assert sshd.public_key in person.known_hosts.read_text()


def test_an_authentication_that_is_refused_tells_the_user_and_the_keys(
    person: Person, sshd: Sshd, tmp_path: Path
) -> None:
    person.name(sshd, "there")
    sshd.authorize(make_key(tmp_path / "other").with_suffix(".pub"))
    error = error_at("there")
    assert f"{ME}@127.0.0.1, port {sshd.port}" in error
    assert "Permission denied (publickey)" in error
    assert f"Keys that were offered: {person.key} ED25519 SHA256:" in error


def test_a_host_that_can_not_be_reached_says_so(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "there")
    sshd.stop()
    assert "Connection refused" in error_at("there").splitlines()[0]


@pytest.mark.parametrize(
    "line",
    [
        "RemoteCommand echo wrong",
        "StdinNull yes",
        "ForkAfterAuthentication yes",
        "SessionType none",
        "RequestTTY force",
        "LocalForward 127.0.0.1:{port} localhost:1\n    ExitOnForwardFailure yes",
    ],
)
def test_a_configuration_for_a_person_at_a_terminal_is_no_hindrance(
    person: Person, sshd: Sshd, line: str
) -> None:
    person.name(sshd, "there", line.format(port=sshd.port))
    with closing(OpenSSHConnection("there", 10.0)) as connection:
        command = "read word; echo heard $word"
        with closing(connection.start(command, lambda data: None)) as channel:
            channel.stream.send([b"something\n"])
            assert all_of(channel) == "heard something\n"


@pytest.mark.parametrize("name", ["very-" * 20 + "long", "with 100%h of ~ and blanks"])
def test_any_folder_for_temporary_files_will_do(
    person: Person, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    person.name(sshd, "there")
    assert answer_of("there") == "hello\n"
    assert list(folder.iterdir()) == []


def test_a_connection_that_is_lost_tells_ssh_s_last_words_and_nothing_of_its_doings(
    person: Person, sshd: Sshd
) -> None:
    person.name(sshd, "there")
    lost: list[str] = []
    with closing(OpenSSHConnection("there", 10.0)) as connection:
        connection.on_loss(lost.append)
        sshd.kill_sessions()
        wait_until(lambda: lost)
    assert "debug1" not in lost[0]


def test_words_that_come_in_pieces_are_put_together() -> None:
    words = SshOutput()
    for piece in (
        b"debug1: Server host ",
        b"key: ssh-ed25519 SHA256:abc\r\nno ent",
        b"ry.\r\n",
        b".",
    ):
        words.hear(piece)
    assert words.host_key() == "ssh-ed25519 SHA256:abc"
    assert words.last() == "no entry"


def test_what_ssh_counts_at_its_end_is_no_reason_for_that() -> None:
    words = SshOutput()
    words.hear(b"Connection to there closed by remote host.\n")
    words.hear(b"Transferred: sent 3024, received 2848 bytes, in 0.0 seconds\n")
    words.hear(b"Bytes per second: sent 61776.3, received 57177.3\n")
    words.end()
    assert words.last() == "Connection to there closed by remote host"


@pytest.fixture
def open_already(person: Person, sshd: Sshd, tmp_path: Path) -> Iterator[Path]:
    """Have the person connected to "there", as after typing a one-time code: no key logs in now."""
    path = tmp_path / "cm"
    person.name(sshd, "there", f"ControlPath {path}", "ControlMaster auto")
    subprocess.run(["ssh", "-M", "-N", "-f", "there"], check=True, timeout=20)
    sshd.authorize()
    yield path
    subprocess.run(["ssh", "-O", "exit", "there"], check=False, capture_output=True, timeout=20)


def test_a_connection_that_the_user_has_open_is_used_and_stays_open(
    open_already: Path,
) -> None:
    assert answer_of("there") == "hello\n"
    assert answer_of("there") == "hello\n"
    assert open_already.exists()
    subprocess.run(["ssh", "-O", "check", "there"], check=True, capture_output=True, timeout=20)


def test_slaves_work_over_a_connection_that_the_user_has_open(
    open_already: Path, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Manager() as manager:
        for _ in range(2):
            manager.add_slave(SSHSlave("there", client="openssh"))
        context = manager.get_context()
        for number in range(4):
            context.add_task(lambda number=number: number)
        assert sorted(context.get_results_unordered()) == [0, 1, 2, 3]
    wait_until(lambda: not sshd.started(), 10.0)


def test_a_login_node_is_used_over_a_connection_that_the_user_has_open_and_no_key_would_do(
    open_already: Path, person: Person, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    host = SSHHost(
        "there",
        folder=str(person.home),
        ship_modules=[],
        relay_host="127.0.0.1",
        client="openssh",
    )
    with Manager(host="localhost", plugins=[Batch()]) as manager:
        manager.add_slave(BatchArray(2, host))
        context = manager.get_context()
        for number in range(4):
            context.add_task(lambda number=number: number)
        assert sorted(context.get_results_unordered()) == [0, 1, 2, 3]
    wait_until(lambda: not sshd.started(), 10.0)
    assert not list(Path(os.environ["TMPDIR"]).glob("imp_parallel*"))
    subprocess.run(["ssh", "-O", "check", "there"], check=True, capture_output=True, timeout=20)


def test_a_port_is_forwarded_over_a_connection_of_the_user_only_until_ours_is_closed(
    open_already: Path,
) -> None:
    with closing(OpenSSHConnection("there", 10.0)) as connection:
        port = connection.forward(lambda stream: stream.give_up())
        with socket.create_connection(("127.0.0.1", port), timeout=20.0) as talk:
            assert talk.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=20.0)
    assert not list(Path(os.environ["TMPDIR"]).glob("imp_parallel*"))
    subprocess.run(["ssh", "-O", "check", "there"], check=True, capture_output=True, timeout=20)


def test_strangers_who_say_nothing_at_a_forwarded_port_take_few_descriptors(
    person: Person, sshd: Sshd
) -> None:
    person.name(sshd, "there")
    with closing(OpenSSHConnection("there", 10.0)) as connection, ExitStack() as strangers:
        joins = forwarder()
        port = connection.forward(lambda stream: joins.join(stream, socket.socket))
        before = number_of_descriptors()
        talks = []
        for _ in range(150):
            made = socket.create_connection(("127.0.0.1", port), timeout=20.0)
            talks.append(strangers.enter_context(made))
        for talk in talks[: 150 - 64]:  # the oldest
            assert talk.recv(1) == b""
        wait_until(lambda: number_of_descriptors() - before <= 150 + 64, 20.0)


def number_of_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_connection_of_the_user_that_has_gone_is_not_waited_for(
    person: Person, sshd: Sshd, tmp_path: Path
) -> None:
    """Its socket may still lie there, after a crash."""
    path = tmp_path / "cm"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(os.path.relpath(path))  # the length of such a path is limited
    person.name(sshd, "there", f"ControlPath {path}", "ControlMaster auto")
    assert answer_of("there") == "hello\n"
