"""Strangers who connect to a relay on a shared host, in numbers, while slaves work through it."""

from __future__ import annotations

import resource
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hosts import client
from imp_parallel_ssh import SSHHost
from imp_parallel_ssh._login_node.relay import SSHRelay

from imp_parallel_core import Manager
from tests.support.batch import Batch, BatchArray
from tests.support.sshd import Person, Sshd
from tests.support.waiting import wait_until

__all__ = ["client"]  # fixtures

pytestmark = pytest.mark.timeout(240)

FLOOD = """
import resource, socket, ssl, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
hello = ssl.MemoryBIO()
context = ssl.create_default_context()
try: context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x").do_handshake()
except ssl.SSLWantReadError: pass
words = {"silent": b"", "garbage": b"GET / HTTP/1.1\\r\\n\\r\\n", "polite": hello.read()}
host, port, kind, number = sys.argv[1:]
held = []
for _ in range(int(number)):
    held.append(socket.create_connection((host, int(port)), timeout=120))
    held[-1].sendall(words[kind])
print("all are there", flush=True)
sys.stdin.read()
"""
STRANGERS = {"silent": 600, "garbage": 1000, "polite": 400}  # these make TLS handshakes, and idle


class WatchedHost(SSHHost):
    """One that keeps its relay for the test to look at."""

    def relay(self, addresses: Sequence[str], *, folder: str, patience_s: float) -> SSHRelay:
        self.made = super().relay(addresses, folder=folder, patience_s=patience_s)
        return self.made


def number_of_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Have this process, which is the master, be limited as most are."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_two_thousand_strangers_at_a_relay_cost_the_master_few_descriptors_and_no_task(
    person: Person,
    sshd: Sshd,
    few_descriptors: None,
    caplog: pytest.LogCaptureFixture,
    client: str,
) -> None:
    person.name(sshd, "there")
    host = WatchedHost(
        "there",
        folder=str(person.home),
        ship_modules=[],
        relay_host="127.0.0.1",
        client=client,
    )
    floods: list[subprocess.Popen[bytes]] = []

    def nap(number: int) -> int:
        time.sleep(0.1)
        return number

    with Manager(host="localhost", plugins=[Batch()]) as manager:
        manager.add_slave(BatchArray(8, host))
        wait_until(lambda: [s.state for s in manager.slaves] == ["idle"] * 8, 60.0, "eight slaves")
        address, _, port = host.made.addresses[0].rpartition(":")
        before = number_of_descriptors() + 2 * len(STRANGERS)  # with the pipes to the floods
        floods += [flood(address, port, kind, number) for kind, number in STRANGERS.items()]
        context = manager.get_context()
        for number in range(32):
            context.add_task(nap, number)
        seen, most, added, left = [], 0, 32, 100  # so many more when all strangers are there
        for result in context.get_results_unordered():
            seen.append(result)
            most = max(most, number_of_descriptors() - before)
            left -= all(map(are_there, floods))
            if left > 0:
                context.add_task(nap, added)
                added += 1
        assert sorted(seen) == list(range(added))
        # (over an ssh process each channel takes one, and the relay lets 64 come at a time)
        assert most <= (100 if client == "paramiko" else 164)
        assert "lost slave" not in caplog.text
        for each in floods:
            each.communicate(timeout=60)
            assert each.returncode == 0


def flood(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", FLOOD, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def are_there(flood: subprocess.Popen[bytes]) -> bool:
    """Return whether all strangers of a flood are connected, and have spoken if they do."""
    assert flood.stdout is not None
    return bool(select.select([flood.stdout], [], [], 0)[0])
