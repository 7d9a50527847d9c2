"""Slaves on a real Dask cluster, whose workers are processes of this machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from imp_parallel_dask import DaskSlaveArray

from imp_parallel_core import LaunchError, Manager
from tests.support.harness import parent_of
from tests.support.sent_suite.checks import *  # noqa: F403 - the tests that it lists
from tests.support.sent_suite.ends import *  # noqa: F403 - the tests that it lists
from tests.support.sent_suite.ends import one_keeper_killed
from tests.support.sent_suite.home import Home, pids_of, states
from tests.support.sent_suite.stories import *  # noqa: F403 - the tests that it lists
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from distributed import Client

pytestmark = pytest.mark.timeout(180)  # the first test starts the cluster


# -S: what is installed for development, such as our distributions, is not found
BARE_WORKER = """\
import sys
sys.path.append(sys.argv[1])
from distributed.cli.dask_worker import main
main([sys.argv[2], "--no-nanny", "--nthreads=1", "--no-dashboard", "--resources=bare=1"])
"""


def test_a_worker_on_which_nothing_is_installed_but_dask_has_the_slave_that_asks_for_it(
    client: Client,
) -> None:
    site_packages = str(Path(pytest.__file__).parents[1])
    command = [sys.executable, "-S", "-c", BARE_WORKER, site_packages, client.scheduler.address]
    with Manager() as manager, Path("worker.log").open("w") as log:
        manager.add_slave(DaskSlaveArray(client, 1, resources={"bare": 1}))
        wait_until(lambda: "has room for a task with {'bare': 1}" in str(manager.slaves[0]))
        with subprocess.Popen(command, stdout=log, stderr=log) as worker:
            try:
                context = manager.get_context()
                context.add_task(os.getppid)  # (the slave can't import these tests)
                (pid,) = context.get_results()
                assert "slave.zip" in Path(f"/proc/{pid}/cmdline").read_text()
                assert parent_of(pid) == worker.pid
            finally:
                worker.terminate()


def clients_of(client: Client) -> int:
    """Return how many clients the scheduler has."""
    return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.clients)))


def test_an_array_by_address_has_a_client_of_its_own_until_its_slaves_end(client: Client) -> None:
    from distributed import default_client

    before = clients_of(client)
    array = DaskSlaveArray(client.scheduler.address, 1)
    assert repr(array) == f"DaskSlaveArray({client.scheduler.address!r}, 1)"
    for _ in range(2):  # it may be added again
        with Manager() as manager:
            manager.add_slave(array)
            context = manager.get_context()
            context.add_task(os.getpid)
            assert len(list(context.get_results())) == 1
            assert clients_of(client) == before + 1
            assert default_client() is client
        wait_until(lambda: clients_of(client) == before)


@pytest.mark.parametrize("address", ["nonsense://127.0.0.1:1", "tls://127.0.0.1:1"])
def test_an_address_that_can_not_be_used_is_named_at_once(client: Client, address: str) -> None:
    before = clients_of(client)
    with Manager() as manager, pytest.raises(LaunchError) as caught:
        manager.add_slave(DaskSlaveArray(address, 1))
    assert f"can't reach the Dask cluster at {address}" in str(caught.value)
    assert str(caught.value).endswith("\nMore: imp-parallel explain dask-unreachable")
    assert clients_of(client) == before


def test_a_worker_that_is_killed_costs_its_slave_alone_and_dask_starts_that_anew(
    home: Home, tmp_path: Path
) -> None:
    with one_keeper_killed(home, tmp_path) as (manager, before):
        wait_until(lambda: states(manager) == ["idle"] * 2, 60)
        assert len({*before, *pids_of(manager)}) == 3


def test_tasks_wait_for_the_only_slave_if_dask_starts_it_anew(
    client: Client, tmp_path: Path
) -> None:
    mark = tmp_path / "killed"

    def kill_the_worker_once() -> str:
        if mark.exists():
            return "ran again"
        mark.touch()
        stat = Path(f"/proc/{os.getppid()}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(600)
        return "not killed"

    with Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 1))
        context = manager.get_context()
        context.add_task(kill_the_worker_once)
        assert list(context.get_results_unordered()) == ["ran again"]


def test_dask_shows_nothing_of_what_starts_a_slave(client: Client) -> None:
    with Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 1))
        wait_until(lambda: states(manager) == ["idle"], 60)
        assert "Sent(keep, …)" in str(client.run_on_scheduler(repr_of_tasks))


def repr_of_tasks(dask_scheduler: Any) -> str:
    """Return what the scheduler would show of its tasks."""
    return str([(task, task.run_spec) for task in dask_scheduler.tasks.values()])


def test_a_client_that_can_not_wait_or_is_closed_is_refused(client: Client) -> None:
    from distributed import Client

    with Manager() as manager:
        no_client: Any = 8786
        with pytest.raises(LaunchError, match=r"int is no client .* a distributed\.Client"):
            manager.add_slave(DaskSlaveArray(no_client, 1))
        other = Client(client.scheduler.address)
        other.close()
        with pytest.raises(LaunchError, match="the Dask client is closed"):
            manager.add_slave(DaskSlaveArray(other, 1))


def test_a_scheduler_that_does_not_answer_is_named(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imp_parallel_dask import _launch

    async def identity() -> None:  # the scheduler is in this process, and can't be stopped
        await asyncio.sleep(600)

    monkeypatch.setattr(_launch, "_ANSWER_S", 0.1)
    monkeypatch.setattr(client.scheduler, "identity", identity, raising=False)
    with (
        Manager() as manager,
        pytest.raises(LaunchError, match=r"Dask cluster at .* does not answer"),
    ):
        manager.add_slave(DaskSlaveArray(client, 1))


@pytest.mark.parametrize(
    ("address", "can_be_read"),
    [
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("inproc://10.0.0.1/123/1", False),
        ("tls://10.0.0.1:8786", False),
        ("tcp://10.0.0.1:8786", True),
        ("tcp://[fe80::1]:8786", True),
        ("tcp://cluster:8786", True),
        ("ucx://10.0.0.1:8786", True),
    ],
)
def test_only_what_stays_here_or_is_encrypted_may_carry_credentials(
    client: Client, monkeypatch: pytest.MonkeyPatch, address: str, can_be_read: bool
) -> None:
    async def identity(**arguments: Any) -> dict[str, str]:
        return {"address": address}

    monkeypatch.setattr(client.scheduler, "identity", identity, raising=False)
    if not can_be_read:
        DaskSlaveArray(client, 1).check()
        return
    with pytest.raises(LaunchError, match=f"to {re.escape(address)}, and .*trusted_network=True"):
        DaskSlaveArray(client, 1).check()
    DaskSlaveArray(client, 1, trusted_network=True).check()
