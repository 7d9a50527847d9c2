"""Slaves on a real Ray cluster of one node, which is this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from imp_parallel_ray import RaySlaveArray

from imp_parallel_core import LaunchError, Manager, NoMoreSlavesError
from tests.support.sent_suite.checks import *  # noqa: F403 - the tests that it lists
from tests.support.sent_suite.ends import *  # noqa: F403 - the tests that it lists
from tests.support.sent_suite.ends import one_keeper_killed
from tests.support.sent_suite.home import Home, pids_of, states
from tests.support.sent_suite.stories import *  # noqa: F403 - the tests that it lists
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(300),  # the first test starts Ray
    pytest.mark.usefixtures("cluster"),
]


def test_a_slave_that_needs_more_than_there_is_waits_and_says_what_it_needs() -> None:
    with Manager() as manager:
        manager.add_slave(RaySlaveArray(1, num_cpus=0, num_gpus=1, resources={"scanner": 2}))
        words = "0 of 0 GPU, 0 of 0 scanner are free"
        wait_until(lambda: words in str(manager.slaves[0]), 60)


def test_a_script_that_has_joined_another_cluster_than_the_arrays_is_told_so(
    cluster: str,
) -> None:
    with Manager() as manager:
        for address in ("127.0.0.1:1", "no-such-host.invalid:6379"):
            with pytest.raises(LaunchError, match=r"one at a time. ray.shutdown\(\) leaves it"):
                manager.add_slave(RaySlaveArray(1, address=address))
        for address in (cluster, "auto"):
            array = RaySlaveArray(1, address=address)
            assert repr(array).endswith(f", address={address!r})")
            manager.add_slave(array)


def test_an_actor_whose_process_is_killed_costs_its_slave_alone_and_its_tasks_move(
    home: Home, tmp_path: Path
) -> None:
    with one_keeper_killed(home, tmp_path) as (manager, before):
        wait_until(lambda: "gone" in states(manager))
        (lost,) = (str(slave) for slave in manager.slaves if slave.state == "gone")
        assert "its Ray actor failed: ActorDiedError" in lost
        assert pids_of(manager)[0] in before


def test_other_machines_get_credentials_only_over_tls_or_if_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from imp_parallel_ray import _launch

    monkeypatch.setattr(_launch, "get_node_ip_address", lambda: "192.0.2.77")
    with Manager() as manager:
        with pytest.raises(LaunchError, match=r"RAY_USE_TLS=1.*trusted_network=True"):
            manager.add_slave(RaySlaveArray(1))
        # no such node was there yet
        monkeypatch.setattr(_launch.RayLaunch, "machines", lambda launch: [])
        monkeypatch.setattr(_launch.RayLaunch, "is_private", lambda launch, machine: False)
        manager.add_slave(RaySlaveArray(1))
        context = manager.get_context()
        context.add_task(os.getpid)
        with pytest.raises(NoMoreSlavesError, match="RAY_USE_TLS=1"):
            list(context.get_results_unordered())
    monkeypatch.undo()
    launch = _launch.RayLaunch(RaySlaveArray(1))
    assert not launch.is_private("192.0.2.77")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    assert launch.is_private("192.0.2.77")


def test_a_script_without_a_cluster_is_told_to_join_one(tmp_path: Path) -> None:
    program = (
        "import imp_parallel_ray, imp_parallel_core as core\n"
        "try: core.Manager(output=None).add_slave(imp_parallel_ray.RaySlaveArray(1))\n"
        "except core.LaunchError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Call ray.init(…) before add_slave()" in done.stdout
