"""The user's SSH configuration says the same here as it says to OpenSSH's own client."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from imp_parallel_ssh._target import parse_target
from imp_parallel_ssh._user_config import text as _config_text
from imp_parallel_ssh._user_config.settings import HostSettings, SshConfig, Strictness

from imp_parallel_core import LaunchError
from tests.support.sshd import Person

CONFIGURATION = """\
ConnectTimeout 7
Include more/*.conf
Host box
    HostName box.example.org
    User alice
    Port 2200
    IdentityFile ~/.ssh/box_key
    IdentityFile "~/.ssh/%r at %h"
    IdentitiesOnly yes
    UserKnownHostsFile ~/.ssh/known_box ~/.ssh/known_more
    StrictHostKeyChecking accept-new
Host inner
    ProxyJump gate
Host deep
    ProxyJump carol@outer:2022,middle
Host middle
    User mid
    ProxyJump nobody.should.care
Host gate
    User gatekeeper
    ProxyCommand nc -X %h %p
Host straight
    ProxyJump none
Host *.org !no.org
    User org
Match host box.example.org user alice
    CertificateFile ~/.ssh/box-cert.pub
Match originalhost tagged
    Port 99
Host *
    User everybody
    ProxyJump none
"""
MORE = """\
Port 2299
Host included
    HostName 10.1.1.1
"""
HOSTS = ["box", "bob@box", "box:22", "a.org", "no.org", "included", "elsewhere", "u@straight:9"]


@pytest.fixture
def config(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SshConfig:
    monkeypatch.setattr(_config_text, "SYSTEM", tmp_path)
    person.configure(CONFIGURATION)
    (person.folder / "more").mkdir()
    (person.folder / "more/one.conf").write_text("Host included\n" + MORE.splitlines()[2] + "\n")
    return SshConfig()


def target_of(config: SshConfig, text: str) -> HostSettings:
    return config.route(parse_target(text))[-1]


def openssh(person: Person, text: str) -> dict[str, list[str]]:
    """Return what OpenSSH's client makes of the configuration."""
    target = parse_target(text)
    options = [] if target.port is None else ["-p", str(target.port)]
    options += [] if target.user is None else ["-l", target.user]
    # it takes ~ from the system's list of users, and relative names as in its own folder
    absolute = person.config.read_text().replace("more/", f"{person.folder}/more/")
    file = person.home / "for_openssh"
    file.write_text(absolute.replace("~/.ssh", str(person.folder)))
    command = ["ssh", "-G", "-F", str(file), *options, target.host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return found


@pytest.mark.parametrize("text", HOSTS)
def test_a_host_is_reached_as_openssh_would(person: Person, config: SshConfig, text: str) -> None:
    ours, theirs = target_of(config, text), openssh(person, text)
    assert [ours.host] == theirs["hostname"]
    assert [str(ours.port)] == theirs["port"]
    assert [ours.user] == theirs["user"]
    assert ["yes" if ours.identities_only else "no"] == theirs["identitiesonly"]
    assert [f"{ours.timeout_s:g}"] == theirs["connecttimeout"]
    if "box" in text:
        where = {"%r": ours.user, "%h": ours.host}
        expected = theirs["identityfile"]
        for token, value in where.items():
            expected = [entry.replace(token, value) for entry in expected]
        assert list(ours.identities) == expected
        assert " ".join(ours.known_hosts[:2]) == theirs["userknownhostsfile"][0]
        assert ours.certificates == theirs.get("certificatefile", [])
        assert ours.strictness is Strictness.ADD_NEW


def test_a_jump_hosts_own_settings_and_way_are_used(config: SshConfig) -> None:
    gate, inner = config.route(parse_target("inner"))
    assert (gate.host, gate.user, gate.proxy_command) == ("gate", "gatekeeper", "nc -X gate 22")
    assert (inner.host, inner.proxy_command) == ("inner", "")


def test_several_jumps_are_made_in_order_each_through_the_one_before(config: SshConfig) -> None:
    hops = config.route(parse_target("deep"))
    assert [str(hop) for hop in hops] == [
        "carol@outer:2022",
        "mid@middle:22",
        "everybody@deep:22",
    ]


def test_without_a_configuration_the_usual_keys_and_files_are_used(person: Person) -> None:
    settings = target_of(SshConfig(""), "me@somewhere")
    assert (settings.host, settings.port, settings.user) == ("somewhere", 22, "me")
    assert str(person.key) in settings.identities
    assert str(person.known_hosts) in settings.known_hosts
    assert settings.strictness is Strictness.REFUSE
    assert settings.agent == ""


def test_jumps_that_go_in_a_circle_are_an_error() -> None:
    config = SshConfig("Host a\nProxyJump b\nHost b\nProxyJump a\n")
    with pytest.raises(LaunchError, match="circle"):
        config.route(parse_target("a"))


@pytest.mark.parametrize("line", ["Port many", "Nonsense", 'Host "open', "ProxyJump a b"])
def test_a_configuration_that_can_not_be_read_is_an_error_that_says_so(line: str) -> None:
    with pytest.raises(LaunchError, match="SSH configuration"):
        SshConfig(line + "\n").route(parse_target("host"))


def test_a_condition_that_can_not_be_decided_is_not_taken_for_fulfilled(
    person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    person.configure("Match tagged work\n  HostName elsewhere\nHost *\n  User me\n")
    settings = target_of(SshConfig(), "host")
    assert (settings.host, settings.user) == ("host", "me")
    assert "tagged" in caplog.text


def test_a_configuration_that_others_may_write_to_is_not_used(person: Person) -> None:
    person.configure("ProxyCommand evil")
    person.config.chmod(0o666)
    with pytest.raises(LaunchError, match="chmod 600"):
        SshConfig()
