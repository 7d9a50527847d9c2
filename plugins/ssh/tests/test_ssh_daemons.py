"""The daemons that the other tests rely on do what they should."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.networks import Network
from tests.support.sshd import Daemons, Person, Sshd
from tests.support.waiting import wait_until


def ssh(person: Person, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh", "-F", str(person.config), "-o", "BatchMode=yes", *arguments],
        env=person.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_person_logs_in_by_an_alias(person: Person, sshd: Sshd) -> None:
    person.name(sshd, "there")
    done = ssh(person, "there", "echo hello")
    assert (done.stdout, done.stderr) == ("hello\n", "")


def test_what_a_session_starts_is_found_and_ends_with_the_daemon(
    person: Person, sshd: Sshd
) -> None:
    person.name(sshd, "there")
    ssh(person, "there", "sleep 300 </dev/null >/dev/null 2>&1 &")
    assert any("sleep 300" in line for line in sshd.started().values())
    sshd.stop()
    wait_until(lambda: not sshd.started(), 15.0)


@pytest.mark.parametrize(
    ("shell", "says_itself"),
    [("bash", "echo $BASH"), ("csh", "echo $shell"), ("fish", "status fish-path")],
)
def test_a_user_has_the_login_shell(
    person: Person, daemons: Daemons, sshd: Sshd, shell: str, says_itself: str
) -> None:
    user = daemons.add_user(shell)
    person.name(sshd, "there", user=user.name)
    assert shell in ssh(person, "there", says_itself).stdout


def test_a_daemon_on_another_host_is_reached_through_a_third(
    person: Person, daemons: Daemons, network: Network
) -> None:
    network.add_host("gate")
    network.add_host("inner")
    network.add_cable("gate", "inner")
    inner = daemons.start(address="10.78.0.2", port=22, prefix=network.inside_as_root("inner"))
    gate = daemons.start(address="127.0.0.1", prefix=network.inside_as_root("gate"))
    person.name(gate, "gate")
    person.name(inner, "inner", "ProxyJump gate")
    command = ["ssh", "-F", str(person.config), "-o", "BatchMode=yes", "inner", "hostname"]
    assert network.run("gate", *command).strip() == "inner"
