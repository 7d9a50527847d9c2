"""A cluster of several hosts, on a network that fails: nothing is lost, and nothing runs twice."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.checking import script_of_check
from tests.support.cluster_network import LOGIN, NODES, ClusterNetwork
from tests.support.scripts import Scripts, finish
from tests.support.waiting import wait_until
from tests.support.watched_check import WatchedCheck

pytestmark = pytest.mark.timeout(180)

PROLOGUE = """
import json, os, socket, time
from imp_parallel_core import Manager, SGEQsubSlaveArray

class Impatient(Manager):
    heartbeat_timeout = 2.0
    reconnect_timeout = 3.0

def task(number, seconds):
    host = socket.gethostname()
    with open("begun", "a") as file:
        file.write(f"{number} {host}\\n")
    time.sleep(seconds)
    return number, host

def add_tasks(context, count, seconds):
    for number in range(count):
        context.add_task(task, number, seconds)

def finish(results):
    print(json.dumps(sorted(results)))
"""


def script_of(body: str) -> str:
    return PROLOGUE + textwrap.dedent(body)


def begun(folder: Path) -> list[tuple[int, str]]:
    """Return the number and the host of each task that has begun, in order."""
    path = folder / "begun"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(number), host) for number, host in map(str.split, lines)]


def hosts_at_work(folder: Path) -> set[str]:
    return {host for _, host in begun(folder)}


def numbers_of(out: str) -> list[int]:
    """Return the numbers of the tasks whose results a script has printed."""
    return [number for number, _ in json.loads(out)]


def test_a_run_completes_although_the_nodes_reach_the_masters_second_address_only(
    cluster_network: ClusterNetwork, on_login_node: Scripts, tmp_path: Path
) -> None:
    script = script_of("""
    with Manager() as manager:
        manager.add_slave(SGEQsubSlaveArray(4))
        context = manager.get_context()
        add_tasks(context, 40, 0.1)
        results = list(context.get_results_unordered())
        addresses = manager._transports.get("tcp")[1]
    finish(results)
    print(json.dumps([address.rpartition(":")[0] for address in addresses]))
    """)
    code, out, err = finish(on_login_node.start(script))
    assert (code, err) == (0, "")
    results, addresses = out.splitlines()
    assert numbers_of(results) == list(range(40))
    reached = [cluster_network.outside[LOGIN], cluster_network.inside[LOGIN]]
    assert json.loads(addresses)[:2] == reached
    assert hosts_at_work(tmp_path) == set(NODES)


def test_packets_that_are_dropped_for_20_s_cost_no_task_a_second_run(
    cluster_network: ClusterNetwork, on_login_node: Scripts, tmp_path: Path
) -> None:
    network = cluster_network.network
    script = on_login_node.start(
        script_of("""
        with Manager() as manager:
            manager.add_slave(SGEQsubSlaveArray(4))
            context = manager.get_context()
            add_tasks(context, 60, 1.0)
            finish(context.get_results_unordered())
        """)
    )
    wait_until(lambda: hosts_at_work(tmp_path) == set(NODES), what="work on both nodes")
    network.cut(NODES[0])
    cut_at = time.monotonic()
    try:
        time.sleep(20.0)  # this is what happens
    finally:
        network.heal(NODES[0])
    while_cut = begun(tmp_path)
    code, out, err = finish(script)
    assert code == 0, err
    assert time.monotonic() - cut_at > 20.0
    assert numbers_of(out) == list(range(60))
    assert sorted(number for number, _ in begun(tmp_path)) == list(range(60)), "one ran twice"
    assert NODES[0] in {host for _, host in begun(tmp_path)[len(while_cut) :]}, "it did not go on"


def test_a_node_that_vanishes_with_its_daemon_loses_no_task(
    cluster_network: ClusterNetwork, on_login_node: Scripts, tmp_path: Path
) -> None:
    network = cluster_network.network
    script = on_login_node.start(
        script_of("""
        with Impatient() as manager:
            manager.add_slave(SGEQsubSlaveArray(4))
            context = manager.get_context()
            add_tasks(context, 40, 0.5)
            finish(context.get_results_unordered())
        """)
    )
    wait_until(lambda: hosts_at_work(tmp_path) == set(NODES), what="work on both nodes")
    network.cut(NODES[0])
    try:
        code, out, err = finish(script)
    finally:
        network.heal(NODES[0])
    assert code == 0, err
    assert numbers_of(out) == list(range(40))
    twice = {n for n, count in Counter(n for n, _ in begun(tmp_path)).items() if count > 1}
    assert len(twice) <= 2, "more ran twice than had begun on the node"
    wait_until(lambda: not cluster_network.cell.jobs(), 60.0, "the end of the deleted jobs")


def test_slaves_work_on_while_all_execution_daemons_are_away(
    cluster_network: ClusterNetwork, on_login_node: Scripts, tmp_path: Path
) -> None:
    cell = cluster_network.cell
    script = on_login_node.start(
        script_of("""
        with Manager() as manager:
            manager.add_slave(SGEQsubSlaveArray(4))
            context = manager.get_context()
            add_tasks(context, 40, 0.2)
            finish(context.get_results_unordered())
        """)
    )
    wait_until(lambda: hosts_at_work(tmp_path) == set(NODES), what="work on both nodes")
    cell.stop_execd()
    try:
        code, out, err = finish(script)
    finally:
        cell.start_execd()
    assert code == 0, err
    assert numbers_of(out) == list(range(40))
    assert sorted(number for number, _ in begun(tmp_path)) == list(range(40)), "one ran twice"
    wait_until(lambda: not cell.jobs(), 30.0, "the deletion of the jobs")


def test_a_firewall_that_drops_packets_is_reported_within_seconds_and_the_run_goes_on_when_it_opens(
    cluster_network: ClusterNetwork, on_login_node: Scripts, tmp_path: Path
) -> None:
    network = cluster_network.network
    network.guard(LOGIN, *cluster_network.ports())
    try:
        script = on_login_node.start(
            script_of("""
            with Manager() as manager:
                manager.add_slave(SGEQsubSlaveArray(2))
                context = manager.get_context()
                add_tasks(context, 4, 0.1)
                finish(context.get_results_unordered())
            """)
        )
        wait_until(cluster_network.cell.processes, what="a job's start")
        started_at = time.monotonic()
        assert script.stderr is not None
        warning = [script.stderr.readline()]
        assert time.monotonic() - started_at < 8.0  # on a quiet machine, 5
        while "no answer" not in warning[-1] or cluster_network.inside[LOGIN] not in warning[-1]:
            warning.append(script.stderr.readline())
            assert warning[-1], warning
    finally:
        network.heal(LOGIN)
    said = "".join(warning)
    assert "has been running for" in said
    assert "has not connected" in said
    assert f"{tmp_path}/slave0.output" in said
    assert f"{cluster_network.outside[LOGIN]}:" in said
    code, out, _ = finish(script)
    assert code == 0
    assert numbers_of(out) == list(range(4))


def test_a_check_tells_of_a_firewall_that_drops_packets_and_goes_on_when_it_opens(
    cluster_network: ClusterNetwork, on_login_node: Scripts
) -> None:
    network = cluster_network.network
    network.guard(LOGIN, *cluster_network.ports())
    try:
        checking = WatchedCheck(on_login_node.start(script_of_check("SGEQsubSlaveArray(1)")))
        checking.wait_for("has been running for", "has not connected", "no answer")
        checking.wait_for(f"{cluster_network.inside[LOGIN]}:", "imp-parallel-check0.output")
    finally:
        network.heal(LOGIN)
    assert checking.finish() == 0, checking.text


def test_an_address_that_the_nodes_can_not_reach_is_named_within_seconds(
    cluster_network: ClusterNetwork, on_login_node: Scripts
) -> None:
    host = cluster_network.outside[LOGIN]
    arguments = ("--host", host, "--limit", "12")
    checking = on_login_node.start(script_of_check("SGEQsubSlaveArray(1)", *arguments))
    code, out, _ = finish(checking)
    warning, failure = (out.partition(word)[2] for word in (" warning ", "FAILED "))
    assert code == 1
    for text in (warning.partition("FAILED ")[0], failure):
        assert "not connect" in text
        assert f"{host}:" in text
        assert "no answer" in text


def test_the_error_names_a_firewall_that_refuses_within_seconds(
    cluster_network: ClusterNetwork, on_login_node: Scripts
) -> None:
    network, host = cluster_network.network, cluster_network.inside[LOGIN]
    network.guard(LOGIN, *cluster_network.ports(), verdict="reject with tcp reset")
    try:
        script = on_login_node.start(
            script_of(f"""
            with Manager(host={host!r}) as manager:
                manager.add_slave(SGEQsubSlaveArray(1))
                context = manager.get_context()
                add_tasks(context, 1, 0.1)
                finish(context.get_results_unordered())
            """)
        )
        code, _, err = finish(script, 30.0)
        checking = script_of_check("SGEQsubSlaveArray(1)", "--host", host)
        code_of_check, out, _ = finish(on_login_node.start(checking))
    finally:
        network.heal(LOGIN)
    assert code == code_of_check == 1
    assert "NoSlaveStartedError" in err
    assert "FAILED   started" in out
    for text in (err, out):
        assert f"{host}:" in text
        assert "Connection refused" in text


def test_slaves_fill_a_parallel_environment_over_several_hosts(
    cluster_network: ClusterNetwork, on_login_node: Scripts, tmp_path: Path
) -> None:
    (tmp_path / "master.py").write_text(
        script_of("""
        from imp_parallel_core import SGEPESlaveArray

        with Manager() as manager:
            manager.add_slave(SGEPESlaveArray())
            context = manager.get_context()
            add_tasks(context, 40, 0.2)
            finish(context.get_results_unordered())
        """)
    )
    script = on_login_node.start(f"""
        import os, shlex, subprocess, sys
        paths = os.pathsep.join(filter(None, {sys.path!r}))
        options = ["-sync", "y", "-pe", "mpi", "4", "-cwd", "-j", "y", "-o", "out"]
        options += ["-S", "/bin/bash", "-v", "PYTHONPATH=" + paths, "-b", "n"]
        text = "exec " + shlex.quote(sys.executable) + " -W error master.py"
        subprocess.run(["qsub", *options], input=text, text=True, check=True)
    """)
    code, out, err = finish(script, 90.0)
    said = (tmp_path / "out").read_text()
    assert code == 0, f"{out} {err} {said}"
    assert numbers_of(said) == list(range(40))
    assert hosts_at_work(tmp_path) == set(NODES)
    wait_until(lambda: not cluster_network.cell.jobs(), what="an empty queue")
