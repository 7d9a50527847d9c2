"""Logging in to real daemons: by keys, agents and certificates, through other hosts."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from imp_parallel_ssh._paramiko.connect import connect
from imp_parallel_ssh._paramiko.connection import ParamikoConnection
from imp_parallel_ssh._target import parse_target

from imp_parallel_core import LaunchError
from tests.support.checking import check, check_says_the_same, script_of_check
from tests.support.networks import Network
from tests.support.sshd import ME, Daemons, Person, Sshd, make_key, run
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def connection_to(name: str, timeout_s: float = 20.0) -> Iterator[ParamikoConnection]:
    made = connect(parse_target(name), timeout_s)
    try:
        yield made
    finally:
        made.close()


def output_of(connection: ParamikoConnection, command: str) -> str:
    """Run a command; return what it writes."""
    errors: list[bytes] = []
    channel = connection.start(command, errors.append)
    data = b""
    while True:
        try:
            piece = channel.stream.receive(1 << 16)
        except BlockingIOError:
            time.sleep(0.001)
            continue
        if not piece:
            break
        data += piece
    channel.close()
    return data.decode() + b"".join(errors).decode()


def why_not(name: str, timeout_s: float = 10.0, *, checks: bool = True) -> str:
    """Return why a host can't be connected to; fail if that takes too long to find out.

    What ``imp-parallel check`` says of a slave there must have all of it. It is not asked where it
    would wait as long as slaves do.
    """
    start = time.monotonic()
    with pytest.raises(LaunchError) as caught:
        connect(parse_target(name), timeout_s)
    assert time.monotonic() - start < timeout_s + 5.0
    if checks:
        check_says_the_same(str(caught.value), f"SSHSlave({name!r}, client='paramiko')")
    return str(caught.value)


def test_a_host_with_a_known_key_is_logged_in_to_and_runs_a_command(
    person: Person, sshd: Sshd
) -> None:
    person.name(sshd, "there")
    with connection_to("there") as connection:
        assert output_of(connection, "echo $SHELL").strip() == "/bin/bash"


def test_user_host_and_port_are_enough(person: Person, sshd: Sshd) -> None:
    person.know(sshd)
    with connection_to(f"{ME}@127.0.0.1:{sshd.port}") as connection:
        assert output_of(connection, "id -un") == f"{ME}\n"


def test_hashed_names_of_known_hosts_will_do(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "there")
    run("ssh-keygen", "-H", "-f", str(person.known_hosts))
    with connection_to("there") as connection:
        assert output_of(connection, "echo yes") == "yes\n"


def test_a_known_key_is_asked_for_also_if_the_host_has_others(
    person: Person, daemons: Daemons
) -> None:
    with_two = daemons.start(options=[f"HostKey {make_key(person.home / 'rsa', kind='rsa')}"])
    kind, key = Path(f"{person.home}/rsa.pub").read_text().split()[:2]
    person.known_hosts.write_text(f"[127.0.0.1]:{with_two.port} {kind} {key}\n")
    with connection_to(f"{ME}@127.0.0.1:{with_two.port}") as connection:
        assert connection.transport.get_remote_server_key().get_name() == "ssh-rsa"


# ---- the hosts' keys


def test_an_unknown_host_key_is_refused_with_fingerprint_and_commands(
    person: Person, sshd: Sshd
) -> None:
    why = why_not(f"{ME}@127.0.0.1:{sshd.port}")
    assert sshd.fingerprint in why
    assert "host key is not known" in why
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in why
    assert f"ssh -p {sshd.port} {ME}@127.0.0.1" in why
    assert str(person.known_hosts) in why
    assert "Accepted" not in sshd.log.read_text()
    assert not person.known_hosts.exists()


def test_a_changed_host_key_is_refused_with_both_fingerprints(
    person: Person, daemons: Daemons, sshd: Sshd
) -> None:
    before = daemons.start()
    person.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {before.public_key}\n")
    why = why_not(f"{ME}@127.0.0.1:{sshd.port}")
    assert "host key has changed" in why
    assert sshd.fingerprint in why
    assert before.fingerprint in why
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {person.known_hosts}" in why


def test_a_revoked_host_key_is_refused_although_it_is_known(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "there", "StrictHostKeyChecking no")
    with person.known_hosts.open("a") as file:
        file.write(f"@revoked * {sshd.public_key}\n")
    assert "revoked" in why_not("there")


def test_who_writes_accept_new_has_new_keys_noted_and_changed_ones_refused(
    person: Person, daemons: Daemons, sshd: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    other = daemons.start()
    person.name(sshd, "there", "StrictHostKeyChecking accept-new")
    person.known_hosts.unlink()
    with connection_to("there"):
        pass
    assert sshd.fingerprint in caplog.text
    assert sshd.public_key in person.known_hosts.read_text()
    changed = person.known_hosts.read_text().replace(sshd.public_key, other.public_key)
    person.known_hosts.write_text(changed)
    assert "has changed" in why_not("there")


def certify_host(sshd: Sshd, authority: Path, *options: str) -> None:
    """Have an authority sign a daemon's host key, and the daemon show the certificate."""
    command = ("ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-h", *options)
    run(*command, f"{sshd.host_key}.pub")
    configuration = sshd.folder / "sshd_config"
    configuration.write_text(
        f"HostCertificate {sshd.host_key}-cert.pub\n{configuration.read_text()}"
    )
    sshd.stop()
    sshd.start()


def know_authority(person: Person, authority: Path, marker: str = "@cert-authority") -> None:
    public = Path(f"{authority}.pub").read_text()
    person.known_hosts.write_text(f"{marker} * {public}")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["-n", "127.0.0.1,other"], ""),
        (["-n", "127.0.*"], ""),
        (["-n", "other"], "is for other, not for 127.0.0.1"),
        (["-n", "127.0.0.1", "-V", "20200101:20210101"], "not valid"),
    ],
)
def test_a_host_may_show_a_certificate_of_a_known_authority(
    person: Person, sshd: Sshd, options: list[str], complaint: str
) -> None:
    authority = make_key(person.home / "authority")
    certify_host(sshd, authority, *options)
    know_authority(person, authority)
    name = f"{ME}@127.0.0.1:{sshd.port}"
    if complaint:
        assert complaint in why_not(name)
        return
    with connection_to(name) as connection:
        assert output_of(connection, "echo in") == "in\n"


def test_a_certificate_of_another_authority_is_refused(person: Person, sshd: Sshd) -> None:
    certify_host(sshd, make_key(person.home / "authority"), "-n", "127.0.0.1")
    know_authority(person, make_key(person.home / "another"))
    assert "authority that is not known" in why_not(f"{ME}@127.0.0.1:{sshd.port}")


@pytest.mark.parametrize("whose", ["the authority's", "the host's"])
def test_a_certificate_that_has_to_do_with_a_revoked_key_is_refused(
    person: Person, sshd: Sshd, whose: str
) -> None:
    authority = make_key(person.home / "authority")
    certify_host(sshd, authority, "-n", "127.0.0.1")
    know_authority(person, authority)
    revoked = authority if whose == "the authority's" else sshd.host_key
    with person.known_hosts.open("a") as file:
        file.write("@revoked * " + Path(f"{revoked}.pub").read_text())
    assert "revoked" in why_not(f"{ME}@127.0.0.1:{sshd.port}")


# ---- the user's keys


def test_a_host_that_refuses_the_keys_is_an_error_that_lists_them(
    person: Person, sshd: Sshd
) -> None:
    person.name(sshd, "there")
    sshd.authorize(Path(f"{make_key(person.home / 'stranger')}.pub"))
    why = why_not("there")
    assert f"{person.key}: refused" in why
    assert f"user: {ME}" in why
    assert f"host: 127.0.0.1, port {sshd.port}" in why
    assert "ssh-copy-id" in why
    assert "ssh -v there" in why


def test_without_any_key_the_error_says_where_they_were_looked_for(
    person: Person, sshd: Sshd
) -> None:
    person.know(sshd)
    person.key.unlink()
    person.public_key.unlink()
    why = why_not(f"{ME}@127.0.0.1:{sshd.port}")
    assert f"{person.key}: not there" in why
    assert "ssh-keygen" in why


def test_other_ways_to_log_in_are_named(person: Person, daemons: Daemons) -> None:
    sshd = daemons.start(options=["PasswordAuthentication yes", "PubkeyAuthentication no"])
    person.name(sshd, "there")
    assert "password" in why_not("there")


def test_a_second_proof_that_a_host_asks_for_is_named(person: Person, daemons: Daemons) -> None:
    sshd = daemons.start(
        options=["AuthenticationMethods publickey,password", "PasswordAuthentication yes"]
    )
    person.name(sshd, "there")
    why = why_not("there")
    assert "asks for more" in why
    assert "password" in why


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_each_kind_of_key_logs_in(person: Person, sshd: Sshd, kind: str) -> None:
    key = make_key(person.home / kind, kind=kind)
    person.name(sshd, "there")
    person.config.write_text(person.config.read_text().replace(str(person.key), str(key)))
    sshd.authorize(Path(f"{key}.pub"))
    with connection_to("there") as connection:
        assert output_of(connection, "echo in") == "in\n"


def test_a_key_that_others_may_read_is_not_used(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "there")
    person.key.chmod(0o644)
    assert f"chmod 600 {person.key}" in why_not("there")


def test_an_encrypted_key_without_a_terminal_is_left_out_at_once(
    person: Person, sshd: Sshd
) -> None:
    person.name(sshd, "there")
    person.key.unlink()
    make_key(person.key, passphrase="secret")
    sshd.authorize(person.public_key)
    start = time.monotonic()
    why = why_not("there")
    assert time.monotonic() - start < 5.0
    assert f"ssh-add {person.key}" in why
    assert "encrypted" in why


@pytest.fixture
def agent(person: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run an agent, and let it be found."""
    path = person.home / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL, start_new_session=True
    )
    wait_until(path.exists, 15.0)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield
    process.kill()
    process.wait()


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_key_in_an_agent_logs_in_though_its_file_has_gone(
    person: Person, sshd: Sshd, agent: None, kind: str
) -> None:
    key = make_key(person.home / kind, kind=kind)
    run("ssh-add", "-q", str(key))
    sshd.authorize(Path(f"{key}.pub"))
    key.unlink()
    person.name(sshd, "there")
    with connection_to("there") as connection:
        assert output_of(connection, "echo in") == "in\n"


def test_with_many_keys_in_an_agent_the_one_that_is_named_is_tried_first(
    person: Person, sshd: Sshd, agent: None
) -> None:
    for number in range(8):  # more than sshd lets anybody try
        run("ssh-add", "-q", str(make_key(person.home / f"key{number}")))
    run("ssh-add", "-q", str(person.key))
    person.name(sshd, "there")
    with connection_to("there") as connection:
        assert output_of(connection, "echo in") == "in\n"
    assert "Failed publickey" not in sshd.log.read_text()


def test_too_many_keys_in_an_agent_are_an_error_that_names_the_remedy(
    person: Person, sshd: Sshd, agent: None
) -> None:
    for number in range(8):
        run("ssh-add", "-q", str(make_key(person.home / f"key{number}")))
    person.name(sshd, "there")
    why = why_not("there")
    assert "IdentitiesOnly" in why
    assert why.count("refused") >= 5


def test_only_the_keys_that_are_named_are_tried_if_the_user_says_so(
    person: Person, sshd: Sshd, agent: None
) -> None:
    for number in range(8):
        run("ssh-add", "-q", str(make_key(person.home / f"key{number}")))
    person.name(sshd, "there", "IdentitiesOnly yes")
    with connection_to("there") as connection:
        assert output_of(connection, "echo in") == "in\n"


@pytest.fixture
def stopped_agent(person: Person, agent: None) -> Iterator[str]:
    """Stop the agent, as a terminal or a debugger may; return its socket."""
    pid = int(run("pgrep", "-f", f"ssh-agent -D -a {person.home}"))
    os.kill(pid, signal.SIGSTOP)
    yield os.environ["SSH_AUTH_SOCK"]
    os.kill(pid, signal.SIGCONT)


def test_an_agent_that_does_not_answer_leaves_time_for_the_keys_of_files(
    person: Person, sshd: Sshd, stopped_agent: str
) -> None:
    person.name(sshd, "there")
    with connection_to("there", 3.0) as connection:
        assert output_of(connection, "echo in") == "in\n"
    assert check("SSHSlave('there', client='paramiko')", "--limit", "30").exit_code == 0


def test_an_agent_that_does_not_answer_is_named_if_no_key_of_a_file_opens_the_host(
    person: Person, sshd: Sshd, stopped_agent: str
) -> None:
    person.name(sshd, "there")
    person.key.unlink()
    start = time.monotonic()
    why = why_not("there", 3.0, checks=False)
    assert time.monotonic() - start < 6.0
    checked = check("SSHSlave('there', client='paramiko')", "--limit", "30")
    for text in (why, checked.failure("started")):
        assert f"agent {stopped_agent}: can't be used: it has not answered for " in text
        assert "ssh-add -l" in text


@pytest.mark.parametrize("is_in_agent", [False, True])
def test_a_certificate_beside_the_key_logs_in(
    person: Person, daemons: Daemons, agent: None, is_in_agent: bool
) -> None:
    authority = make_key(person.home / "authority")
    public = Path("/var/tmp") / f"imp_parallel-ca-{os.getpid()}.pub"
    public.write_text(Path(f"{authority}.pub").read_text())
    try:
        sshd = daemons.start(options=[f"TrustedUserCAKeys {public}"])
        sshd.authorize()  # nobody's key, but for the authority's
        run("ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", ME, str(person.key))
        person.name(sshd, "there")
        if is_in_agent:
            run("ssh-add", "-q", str(person.key))
        with connection_to("there") as connection:
            assert output_of(connection, "echo in") == "in\n"
        assert "CERT" in sshd.log.read_text()
    finally:
        public.unlink()


# ---- the way


def test_hosts_behind_each_other_are_reached_through_each_other(
    person: Person, daemons: Daemons, network: Network
) -> None:
    outer, middle = daemons.start(), daemons.start()
    network.add_host("inner")
    inner = daemons.start()
    person.name(outer, "outer")
    person.name(middle, "middle")
    person.name(inner, "inner", "ProxyJump outer,middle")
    with connection_to("inner") as connection:
        assert output_of(connection, "echo $SSH_CONNECTION").split()[3] == str(inner.port)
    for daemon in (outer, middle, inner):
        assert "Accepted publickey" in daemon.log.read_text()


def test_a_proxy_command_is_a_way_to_a_host(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "gate")
    person.know(sshd)
    nested = f"ssh -F {person.config} -W %h:%p gate"
    person.name(sshd, "there", f"ProxyCommand {nested}")
    with connection_to("there") as connection:
        assert output_of(connection, "echo in") == "in\n"
        assert run("pgrep", "-f", f"ssh -F {person.config} -W")
    assert subprocess.run(["pgrep", "-f", f"ssh -F {person.config} -W"], check=False).returncode


def test_a_proxy_command_that_fails_is_an_error_with_its_words(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "there", "ProxyCommand sh -c 'echo no way >&2; exit 3'")
    why = why_not("there")
    assert "ProxyCommand failed, exit code 3: no way" in why


def test_a_jump_host_that_forwards_nothing_is_named(person: Person, daemons: Daemons) -> None:
    jump = daemons.start(options=["AllowTcpForwarding no"])
    inner = daemons.start()
    person.name(jump, "jump")
    person.name(inner, "inner", "ProxyJump jump")
    why = why_not("inner")
    assert "AllowTcpForwarding" in why
    assert f"jump ({ME}@127.0.0.1:{jump.port})" in why


def test_a_jump_host_that_lets_nobody_in_is_named(person: Person, daemons: Daemons) -> None:
    jump = daemons.start()
    jump.authorize()
    inner = daemons.start()
    person.name(jump, "jump")
    person.name(inner, "inner", "ProxyJump jump")
    why = why_not("inner")
    assert re.search(r"can't connect to inner .*, on the way at jump ", why)
    assert f"{person.key}: refused" in why


# ---- hosts that can't be reached


def test_an_unknown_name_is_an_error(person: Person) -> None:
    why = why_not("nobody@no-such-host.invalid")
    assert "name is not known" in why
    assert "user: nobody" in why
    assert str(person.key) in why


def test_a_closed_port_is_an_error(person: Person, sshd: Sshd) -> None:
    sshd.stop()
    why = why_not(f"{ME}@127.0.0.1:{sshd.port}")
    assert "nothing listens" in why


def test_a_port_of_something_else_is_an_error(person: Person, daemons: Daemons) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"{ME}@127.0.0.1:{silent.getsockname()[1]}"
        why = why_not(name, 2.0, checks=False)
        checked = check(f"SSHSlave({name!r}, client='paramiko')", "--limit", "8")
    for text in (why, checked.failure("started")):
        assert "something answers, but did not exchange keys" in text
        assert "Is it an sshd?" in text


def test_a_host_that_drops_packets_is_given_up_in_time(
    person: Person, daemons: Daemons, network: Network
) -> None:
    network.add_host("one")
    network.add_host("two")
    network.add_cable("one", "two")
    network.cut("two")
    script = (
        "import sys, time\n"
        "from imp_parallel_ssh._paramiko.connect import connect\n"
        "from imp_parallel_ssh._target import Target\n"
        "start = time.monotonic()\n"
        "try:\n    connect(Target('two', 'me'), 2.0)\n"
        "except Exception as problem: print(problem)\n"
        "print(time.monotonic() - start)\n"
    )
    *lines, seconds = network.run("one", sys.executable, "-c", script).splitlines()
    assert 1.5 < float(seconds) < 5.0
    why = "\n".join(lines)
    assert "did not answer at port 22 within 2 s" in why
    script = script_of_check("SSHSlave('me@two', client='paramiko')", "--limit", "8")
    checking = subprocess.run(
        [*network.inside("one"), sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checking.returncode, checking.stderr) == (1, "")
    checked = checking.stdout.partition("FAILED   started")[2]
    assert "did not answer at port 22 within " in checked
    for text in (why, checked):
        assert "user: me" in text
        assert "ProxyJump" in text


@pytest.mark.parametrize(
    "option",
    [
        "Ciphers aes128-cbc",
        "Ciphers 3des-cbc",
        "MACs hmac-md5",
        "KexAlgorithms diffie-hellman-group14-sha1",
        "HostKeyAlgorithms ssh-rsa",
    ],
)
def test_a_host_that_knows_only_what_is_weak_is_not_connected_to(
    person: Person, daemons: Daemons, option: str
) -> None:
    more = (
        ["HostKey " + str(make_key(person.home / "rsa", kind="rsa"))] if "ssh-rsa" in option else []
    )
    sshd = daemons.start(options=[option, *more])
    person.name(sshd, "there")
    assert "can't connect to there" in why_not("there")
    assert sshd.started() == {}
