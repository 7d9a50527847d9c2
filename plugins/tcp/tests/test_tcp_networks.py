"""Networks that lose packets, reset connections, or have more than one way to the master.

Master and slaves run in network namespaces; packets are really dropped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import file_launcher
from tests.support.harness import Processes
from tests.support.networks import Network
from tests.support.waiting import wait_until

PROLOGUE = """
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, {checkout!r})
from tests.support import file_launcher
from tests.support.file_launcher import FileSlave
from imp_parallel_core import Manager

class Impatient(Manager):
    heartbeat_timeout = 1.0
    reconnect_timeout = {reconnect_timeout_s}

class Task:
    def __init__(self, number, seconds):
        self.number, self.seconds = number, seconds

    def __call__(self):
        with open("begun", "a") as file:
            file.write(f"{{self.number}} {{os.getppid()}}\\n")
        time.sleep(self.seconds)
        return self.number, os.urandom(100_000)

def finish(manager, results):
    print(json.dumps([number for number, _ in results]))

"""


class Script:
    """A master that runs on a host of a network, and what its tasks leave behind."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self._folder = folder

    def begun(self) -> list[tuple[int, int]]:
        """Return the number and the supervisor of each task that has begun, in order."""
        path = self._folder / "begun"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(number), int(pid)) for number, pid in map(str.split, lines)]

    def results(self, limit_s: float = 40.0) -> list[int]:
        """Wait for its end; return the numbers of the tasks whose results it got."""
        out, err = self.process.communicate(timeout=limit_s)
        assert self.process.returncode == 0, err
        found: list[int] = json.loads(out)
        return found

    def output(self, slave: int) -> str:
        path = self._folder / f"slave{slave}.output"
        return path.read_text() if path.exists() else ""


Start = Callable[..., Any]


@pytest.fixture
def start(network: Network, tmp_path: Path) -> Start:
    """Return a function that runs a master on host "m"; a context manager."""

    @contextmanager
    def run(body: str, *arguments: str, reconnect_timeout_s: float = 20.0) -> Iterator[Script]:
        path = tmp_path / "master.py"
        prologue = PROLOGUE.format(
            checkout=str(Path(file_launcher.__file__).parents[2]),
            reconnect_timeout_s=reconnect_timeout_s,
        )
        path.write_text(prologue + textwrap.dedent(body))
        process = subprocess.Popen(
            [*network.inside("m"), sys.executable, str(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield Script(process, tmp_path)
            finally:
                process.kill()

    return run


ONE_SLAVE = """
with Impatient(plugins=[file_launcher]) as manager:
    manager.add_slave(FileSlave(*json.loads(sys.argv[1])))
    context = manager.get_context()
    for number in range(6):
        context.add_task(Task(number, 0.4))
    finish(manager, context.get_results_unordered())
"""


@pytest.fixture
def pair(network: Network) -> Network:
    """A network of the hosts "m" and "s", with a cable between them."""
    for host in ("m", "s"):
        network.add_host(host)
    network.add_cable("m", "s")
    return network


def test_a_slave_that_was_cut_off_for_two_heartbeats_goes_on_where_it_was(
    pair: Network, start: Start
) -> None:
    with start(ONE_SLAVE, json.dumps(pair.inside("s"))) as script:
        wait_until(lambda: len(script.begun()) >= 2)
        pair.cut("s")
        time.sleep(2.0)
        pair.heal("s")
        assert sorted(script.results()) == list(range(6))
    assert sorted(number for number, _ in script.begun()) == list(range(6)), "one ran twice"


def test_a_connection_that_is_reset_is_made_again_and_nothing_runs_twice(
    pair: Network, start: Start
) -> None:
    with start(ONE_SLAVE, json.dumps(pair.inside("s"))) as script:
        wait_until(lambda: len(script.begun()) >= 2)
        pair.reset("s")
        wait_until(lambda: "dialling again" in script.output(0))
        pair.heal("s")
        assert sorted(script.results()) == list(range(6))
        assert "connected again" in script.output(0)
    assert sorted(number for number, _ in script.begun()) == list(range(6)), "one ran twice"


TWO_SLAVES = """
with Impatient(plugins=[file_launcher]) as manager:
    for prefix in map(json.loads, sys.argv[1:]):
        manager.add_slave(FileSlave(*prefix))
    context = manager.get_context()
    for number in range(8):
        context.add_task(Task(number, 1.5))
    finish(manager, context.get_results_unordered())
"""


def test_a_task_of_a_slave_that_is_cut_off_begins_elsewhere_and_is_delivered_once(
    network: Network, start: Start
) -> None:
    for host in ("m", "s", "t"):
        network.add_host(host)
    network.add_cable("m", "s")
    network.add_cable("m", "t")
    prefixes = [json.dumps(network.inside(host)) for host in ("s", "t")]
    with start(TWO_SLAVES, *prefixes) as script:
        wait_until(lambda: len({pid for _, pid in script.begun()}) == 2)
        network.cut("s")
        wait_until(
            lambda: [n for n, count in Counter(n for n, _ in script.begun()).items() if count > 1]
        )
        network.heal("s")
        assert sorted(script.results()) == list(range(8))


def test_a_slave_finds_the_one_address_of_the_master_that_it_can_reach(
    network: Network, start: Start
) -> None:
    for host in ("m", "s"):
        network.add_host(host)
    first, second = network.add_cable("m", "s"), network.add_cable("m", "s")
    body = (
        ONE_SLAVE.replace("range(6)", "range(2)")
        + f"""
        addresses = manager._transports.get("tcp")[1]
        assert [a.rpartition(":")[0] for a in addresses][:2] == [{first!r}, {second!r}], addresses
    """.replace("        ", "    ")
    )
    network.drop_to("s", first)
    with start(body, json.dumps(network.inside("s"))) as script:
        assert sorted(script.results()) == [0, 1]


def test_a_slave_that_can_not_come_back_says_how_each_address_failed_and_is_gone(
    pair: Network, start: Start, processes: Processes
) -> None:
    body = """
    from imp_parallel_core import NoMoreSlavesError
    with Impatient(plugins=[file_launcher], max_relaunches=0) as manager:
        manager.add_slave(FileSlave(*json.loads(sys.argv[1])))
        context = manager.get_context()
        context.add_task(Task(0, 60))
        try:
            list(context.get_results_unordered())
        except NoMoreSlavesError as error:
            assert "not heard for" in str(error) or "did not come back" in str(error), error
        while "can't be reached" not in Path("slave0.output").read_text():
            time.sleep(0.1)
        time.sleep(1)
    finish(manager, [])
    """
    with start(
        textwrap.dedent(body), json.dumps(pair.inside("s")), reconnect_timeout_s=2.0
    ) as script:
        wait_until(lambda: script.begun())
        pair.cut("s")
        assert script.results() == []
    output = script.output(0)
    assert "the master can't be reached" in output
    assert "10.78.0.1:" in output
    assert "127.0.0.1:" in output
