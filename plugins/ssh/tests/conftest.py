"""What the tests on real OpenSSH daemons share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import networks
from tests.support.cluster_network import cluster_network
from tests.support.harness import Processes, processes
from tests.support.networks import Network
from tests.support.packages import need
from tests.support.sshd import Daemons, Person, Sshd, install
from tests.support.traced import traced_slaves

__all__ = ["cluster_network", "processes", "traced_slaves"]  # fixtures


@pytest.fixture(scope="session")
def _openssh() -> None:
    need("on OpenSSH daemons", install)


@pytest.fixture
def person(_openssh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """Be somebody with a home, an SSH key in it, and a TMPDIR, that exist for this test only."""
    made = Person(tmp_path / "home")
    for name in os.environ:
        if name.startswith("SSH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(made.home))
    # sockets are made in it, whose names must be short; what is killed leaves them
    with tempfile.TemporaryDirectory(prefix="t", dir="/var/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield made


@pytest.fixture
def daemons(person: Person) -> Iterator[Daemons]:
    """Start daemons that the person may log in to, here or on the hosts of a network."""
    # other users must get through to authorized_keys
    with tempfile.TemporaryDirectory(prefix="imp_parallel-sshd-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        made = Daemons(Path(folder), person)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def sshd(daemons: Daemons) -> Sshd:
    """Start a daemon on loopback whose host key nobody knows yet."""
    return daemons.start()


@pytest.fixture
def network(processes: Processes) -> Iterator[Network]:
    """Yield a network of hosts that exist for this test only."""
    need("on a network", networks.install)
    with Network() as made:
        yield made


@pytest.fixture
def ssh_program(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """See to it that ``ssh`` finds the person's set-up."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "ssh"
    script.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {person.config} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    person.config.touch()
