"""What the tests of slaves on real hosts share."""

from __future__ import annotations

import shutil
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imp_parallel_ssh import SSHSlave

from tests.support.sshd import Daemons, Person, Sshd

CLIENTS = ("paramiko", "openssh")
MakeSlave = Callable[..., SSHSlave]


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, ssh_program: None) -> str:
    """Speak SSH in each of the two ways."""
    return str(request.param)


@pytest.fixture
def there(person: Person, daemons: Daemons) -> Iterator[Sshd]:
    """Start a daemon that is known as "there"; no process may be left on that host."""
    sshd = daemons.start()
    person.name(sshd, "there")
    yield sshd
    deadline = time.monotonic() + 30.0
    while (left := sshd.started()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left
    assert not folders(sshd), "a run's folder was left behind"


@pytest.fixture
def make_slave(client: str) -> MakeSlave:
    """Describe a slave, by this client; the host is "there" unless it is said."""
    return lambda host="there", **options: SSHSlave(host, client=client, **options)


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a Python on which nothing is installed."""
    folder = Path(tmp_path_factory.mktemp("bare"))
    venv.create(folder / "env", with_pip=False)
    return str(folder / "env/bin/python")


def folders(sshd: Sshd) -> list[Path]:
    """Return the folders of runs that are on the host "there"."""
    return list(sshd.tmp.iterdir())


def why_no_common_python() -> str:
    """Return why another user of this machine can't run a Python of this version; "" if so."""
    name = "python{}.{}".format(*sys.version_info)
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    return "" if path else f"there is no {name} that everybody may run"
