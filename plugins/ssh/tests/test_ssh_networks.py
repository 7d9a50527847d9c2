"""Hosts on networks: behind another host, cut off, gone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import client, why_no_common_python

from tests.support.networks import Network
from tests.support.sshd import Daemons, Person, Sshd
from tests.support.waiting import wait_until

__all__ = ["client"]  # a fixture

# the README's example, on hosts
SCRIPT = """\
import json, os, sys, time
from pathlib import Path
from imp_parallel_core import Manager
from imp_parallel_ssh import SSHSlaveArray

class Model:
    def score(self, distance):
        return 1 / (1 + distance)

def setup():
    return Model()

class Task:
    def __init__(self, distance):
        self.distance = distance
    def __call__(self, model):
        with Path("runs").open("a") as file:
            file.write("begun\\n")
        time.sleep({task_s})
        print("scored", self.distance, flush=True)
        return self.distance, model.score(self.distance), os.uname().nodename

class Patient(Manager):
    heartbeat_timeout, reconnect_timeout = {timeouts}

with Patient() as manager:
    manager.add_slave(SSHSlaveArray({hosts}, slaves_per_host=2, client={client!r}))
    context = manager.get_context(setup)
    for distance in range({tasks}):
        context.add_task(Task(distance))
    for result in context.get_results_unordered():
        with Path("results").open("a") as file:
            file.write(json.dumps(result) + "\\n")
"""


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    monkeypatch.chdir(folder)


class Run:
    """The script, which runs on the host "desk"."""

    def __init__(self, network: Network, client: str, hosts: list[str], **options: object) -> None:
        values = {"tasks": 60, "task_s": 0.3, "timeouts": (2.0, 3.0), **options}
        Path("script.py").write_text(SCRIPT.format(hosts=hosts, client=client, **values))
        self.process = subprocess.Popen(
            [*network.inside("desk"), sys.executable, "script.py"],
            stderr=subprocess.PIPE,
            text=True,
        )

    def results(self) -> list[list[Any]]:
        path = Path("results")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def hosts(self) -> set[object]:
        return {result[2] for result in self.results()}

    def end(self, limit_s: float = 50.0) -> str:
        _, errors = self.process.communicate(timeout=limit_s)
        assert self.process.returncode == 0, errors
        return errors


@pytest.fixture
def run(network: Network, client: str) -> Iterator[Callable[..., Run]]:
    """Run the script on some hosts; it ends with the test."""
    started: list[Run] = []

    def start(*hosts: str, **options: object) -> Run:
        started.append(Run(network, client, list(hosts), **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def add_host(
    network: Network, daemons: Daemons, name: str, before: str = "desk"
) -> tuple[Sshd, str]:
    network.add_host(name)
    address = network.add_cable(name, before)
    return daemons.start(address=address, port=22, prefix=network.inside_as_root(name)), address


@pytest.mark.timeout(120)
@pytest.mark.skipif(bool(why_no_common_python()), reason=why_no_common_python())
def test_the_readmes_script_loses_two_of_three_hosts_and_has_all_results(
    network: Network, person: Person, daemons: Daemons, run: Callable[..., Run]
) -> None:
    """One host is behind another, one has a csh login shell, and two don't have the package."""
    network.add_host("desk")
    gate, _ = add_host(network, daemons, "gate")
    inner, _ = add_host(network, daemons, "inner", "gate")
    plain, _ = add_host(network, daemons, "plain")
    shell, _ = add_host(network, daemons, "shell")
    person.name(gate, "gate")
    person.name(inner, "inner", "ProxyJump gate")
    person.name(plain, "plain", user=daemons.add_user("bash").name)
    person.name(shell, "shell", user=daemons.add_user("csh").name)
    script = run("inner", "plain", "shell")
    wait_until(lambda: script.hosts() == {"inner", "plain", "shell"}, what="all hosts at work")
    network.cut("plain")
    shell.stop()
    script.end(90.0)
    scores = [(distance, score) for distance, score, _ in script.results()]
    assert sorted(scores) == [(distance, 1 / (1 + distance)) for distance in range(60)]
    outputs = "".join(path.read_text() for path in Path.cwd().glob("slave*.output"))
    assert outputs.count("scored") >= 50  # what was on its way from lost hosts is lost
    wait_until(lambda: not inner.started(), 10.0)
    network.heal("plain")
    wait_until(lambda: not plain.started(), 20.0, "the end of slaves that were cut off")


@pytest.mark.timeout(150)
def test_tasks_go_on_when_the_network_was_gone_for_20_seconds(
    network: Network, person: Person, daemons: Daemons, run: Callable[..., Run]
) -> None:
    network.add_host("desk")
    far, _ = add_host(network, daemons, "far")
    person.name(far, "far")
    first_two = "24 if self.distance < 2 else 0.1"  # they last longer than the network is gone
    script = run("far", tasks=4, task_s=first_two, timeouts=(30.0, 60.0))
    begun = Path("runs")
    wait_until(lambda: begun.exists() and begun.read_text().count("begun") == 2, what="tasks")
    network.cut("far")
    time.sleep(20)  # (it is the time that counts)
    network.heal("far")
    script.end(120.0)
    assert sorted(result[0] for result in script.results()) == [0, 1, 2, 3]
    assert Path("runs").read_text() == 4 * "begun\n"
    wait_until(lambda: not far.started(), 10.0)


def test_a_host_that_can_not_be_reached_costs_only_its_own_slaves(
    network: Network, person: Person, daemons: Daemons, run: Callable[..., Run]
) -> None:
    network.add_host("desk")
    near, _ = add_host(network, daemons, "near")
    shut, _ = add_host(network, daemons, "shut")
    person.name(near, "near")
    person.name(shut, "shut")
    shut.stop()
    script = run("shut", "near", tasks=6)
    errors = script.end()
    assert script.hosts() == {"near"}
    assert len(script.results()) == 6
    together = re.findall(r"^lost (\d+) slaves? \(", errors, re.MULTILINE)
    assert errors.count("lost slave ") + sum(map(int, together)) == 2, errors
