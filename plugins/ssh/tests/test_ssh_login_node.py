"""A Grid Engine cluster through its login node, from a laptop that can reach nothing else."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hosts import client

from tests.support.checking import script_of_check
from tests.support.cluster_network import LAPTOP, LOGIN, NODES, ClusterNetwork
from tests.support.scripts import Scripts, finish
from tests.support.sshd import Daemons, Person, Sshd
from tests.support.waiting import wait_until

__all__ = ["client"]  # fixtures

pytestmark = pytest.mark.timeout(180)

PROLOGUE = """
import json, os, socket, sys, time
from imp_parallel_core import Manager, NoMoreSlavesError
from imp_parallel_sge import SGEQsubSlaveArray
from imp_parallel_ssh import SSHHost

def task(number, seconds=0.0):
    time.sleep(seconds)
    print("task", number, flush=True)
    return number, socket.gethostname(), os.getcwd()

"""


@pytest.fixture
def login(person: Person, daemons: Daemons, cluster_network: ClusterNetwork) -> Iterator[Sshd]:
    """Start sshd on the login node, where a login shell finds Grid Engine and no other does."""
    cell = cluster_network.cell
    sshd = daemons.start(
        address=cluster_network.outside[LOGIN],
        port=22,
        prefix=cluster_network.network.inside_as_root(LOGIN),
    )
    lines = [f"export {name}={shlex.quote(value)}" for name, value in cell.environment.items()]
    (sshd.home / ".bash_profile").write_text("\n".join(["echo Welcome!", *lines, ""]))
    person.name(sshd, "login")
    with cell.in_use():
        yield sshd
    wait_until(lambda: not sshd.started(), 15.0, "the end of the relay")
    assert not list(sshd.home.glob(".imp_parallel*"))


@pytest.fixture
def laptop(
    login: Sshd,
    person: Person,
    cluster_network: ClusterNetwork,
    tmp_path: Path,
    ssh_program: None,
) -> Iterator[Scripts]:
    """Start scripts on the laptop, in a folder that the nodes know nothing of."""
    folder = tmp_path / "laptop"
    folder.mkdir()
    inside = cluster_network.network.inside(LAPTOP)
    with Scripts({"HOME": str(person.home)}, folder, inside) as made:
        yield made


def test_a_laptop_computes_on_a_cluster_behind_its_login_node(
    laptop: Scripts, login: Sshd, tmp_path: Path, client: str
) -> None:
    script = PROLOGUE + (
        "with Manager() as manager:\n"
        f"    manager.add_slave(SGEQsubSlaveArray(4, via=SSHHost('login', client={client!r})))\n"
        "    context = manager.get_context()\n"
        "    for number in range(40): context.add_task(task, number, 0.05)\n"
        "    results = sorted(context.get_results_unordered())\n"
        "print(json.dumps(results))\n"
    )
    code, out, err = finish(laptop.start(script), 120.0)
    assert (code, err) == (0, "")
    results = json.loads(out)
    assert [number for number, _, _ in results] == list(range(40))
    assert {host for _, host, _ in results} <= set(NODES)
    assert {cwd for _, _, cwd in results} == {str(login.home)}
    output = "".join(path.read_text() for path in (tmp_path / "laptop").glob("slave*.output"))
    assert sorted(int(line.split()[1]) for line in output.splitlines()) == list(range(40))


def test_a_check_goes_through_the_login_node_with_the_scripts_own_expression(
    laptop: Scripts, login: Sshd
) -> None:
    expression = "SGEQsubSlaveArray(1, via=SSHHost('login'))"
    script = (
        "import sys\n"
        "from imp_parallel_core._commands.main import main\n"
        f"sys.exit(main(['check', {expression!r}, '--json']))\n"
    )
    code, out, err = finish(laptop.start(script), 120.0)
    assert (code, err) == (0, ""), out
    steps = {step["name"]: step for step in json.loads(out)["steps"]}
    assert "qsub" in steps["submitted"]["text"]
    assert steps["started"]["facts"]["host"] in NODES
    assert "SSHHost('login')" in steps["connected"]["text"]
    assert steps["environment"]["facts"]["folder"] == str(login.home)
    assert steps["gone"]["status"] == "ok"


def test_the_documents_on_the_login_node_go_when_their_slaves_have_connected(
    laptop: Scripts, login: Sshd, tmp_path: Path
) -> None:
    script = PROLOGUE + (
        "with Manager() as manager:\n"
        "    manager.add_slave(SGEQsubSlaveArray(3, via=SSHHost('login')))\n"
        "    while any(slave.state != 'idle' for slave in manager.slaves): time.sleep(0.1)\n"
        "    print('idle', flush=True)\n"
        "    while not os.path.exists('go'): time.sleep(0.1)\n"
    )
    process = laptop.start(script)
    assert process.stdout is not None
    assert process.stdout.readline() == "idle\n"
    (folder,) = {path.parent for path in login.home.glob(".imp_parallel-*/1.early")}
    wait_until(lambda: not list(folder.glob("[0-9]")), what="their removal")
    (tmp_path / "laptop/go").touch()
    assert finish(process) == (0, "", "")


def test_the_modules_beside_the_script_are_there(laptop: Scripts, tmp_path: Path) -> None:
    (tmp_path / "laptop/tasks.py").write_text("def double(number): return 2 * number\n")
    script = PROLOGUE + (
        "import tasks\n"
        "with Manager() as manager:\n"
        "    manager.add_slave(SGEQsubSlaveArray(1, via=SSHHost('login')))\n"
        "    context = manager.get_context()\n"
        "    context.add_task(tasks.double, 21)\n"
        "    print(*context.get_results_unordered())\n"
        "    context.add_task(lambda: sys.modules['tasks'].__file__)\n"
        "    print(*context.get_results_unordered())\n"
    )
    code, out, err = finish(laptop.start(script), 120.0)
    assert (code, err) == (0, "")
    result, where = out.split()
    assert result == "42"
    assert "laptop" not in where


def test_large_values_pass_through_the_login_node(laptop: Scripts) -> None:
    script = PROLOGUE + (
        "import numpy\n"
        "with Manager() as manager:\n"
        "    manager.add_slave(SGEQsubSlaveArray(1, via=SSHHost('login')))\n"
        "    context = manager.get_context()\n"
        "    context.add_task(lambda data: data[::-1], bytes(range(256)) * 80_000)\n"
        "    (result,) = context.get_results_unordered()\n"
        "print(result == (bytes(range(256)) * 80_000)[::-1])\n"
    )
    code, out, err = finish(laptop.start(script), 120.0)
    assert (code, out, err) == (0, "True\n", "")


def check_that_each_task_runs_once(
    laptop: Scripts,
    login: Sshd,
    task_s: float,
    disturb: Callable[[], None],
    client: str = "paramiko",
) -> None:
    """Run 60 tasks on two slaves, and disturb them when the first results have come."""
    script = PROLOGUE + (
        "with Manager() as manager:\n"
        f"    manager.add_slave(SGEQsubSlaveArray(2, via=SSHHost('login', client={client!r})))\n"
        "    context = manager.get_context()\n"
        "    def counted(number):\n"
        "        with open('begun', 'a') as file: file.write(f'{number}\\n')\n"
        f"        return task(number, {task_s})\n"
        "    for number in range(60): context.add_task(counted, number)\n"
        "    results = []\n"
        "    for result in context.get_results_unordered():\n"
        "        results.append(result[0])\n"
        "        if len(results) == 5: print('going on', flush=True)\n"
        "print(json.dumps(sorted(results)))\n"
    )
    process = laptop.start(script)
    assert process.stdout is not None
    assert process.stdout.readline() == "going on\n"
    disturb()
    code, out, err = finish(process, 150.0)
    assert code == 0, err
    assert json.loads(out) == list(range(60))
    begun = (login.home / "begun").read_text().split()
    assert sorted(map(int, begun)) == list(range(60))


def test_a_lost_ssh_connection_costs_nothing(laptop: Scripts, login: Sshd, client: str) -> None:
    check_that_each_task_runs_once(laptop, login, 0.3, login.kill_sessions, client)


def test_a_login_node_that_refuses_connections_for_20_s_costs_nothing(
    laptop: Scripts, login: Sshd, client: str
) -> None:
    def restart() -> None:
        login.pause()
        time.sleep(20)  # as long as that
        login.start()

    check_that_each_task_runs_once(laptop, login, 1.0, restart, client)


def test_a_laptop_that_is_off_the_net_for_20_s_goes_on_where_it_was(
    laptop: Scripts, login: Sshd, cluster_network: ClusterNetwork
) -> None:
    def cut() -> None:
        cluster_network.network.cut(LAPTOP)
        time.sleep(20)  # as long as that
        cluster_network.network.heal(LAPTOP)

    check_that_each_task_runs_once(laptop, login, 1.0, cut)


def test_a_killed_laptop_leaves_nothing_on_the_cluster(
    laptop: Scripts, login: Sshd, cluster_network: ClusterNetwork
) -> None:
    script = PROLOGUE + (
        "class Impatient(Manager): heartbeat_timeout, reconnect_timeout = 4.0, 5.0\n"
        "with Impatient() as manager:\n"
        "    manager.add_slave(SGEQsubSlaveArray(6, via=SSHHost('login')))\n"
        "    context = manager.get_context()\n"
        "    context.add_task(task, 0)\n"
        "    context.add_task(task, 1, 3600)\n"
        "    for result in context.get_results_unordered():\n"
        "        while sum(bool(slave.host) for slave in manager.slaves) < 4: time.sleep(0.1)\n"
        "        print('going on', flush=True)\n"
    )
    process = laptop.start(script)
    assert process.stdout is not None
    assert process.stdout.readline() == "going on\n"
    # (the process itself, not what brought it into the laptop's namespace)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in [process.pid, *map(int, children)]:
        os.kill(pid, 9)
    start = time.monotonic()
    wait_until(lambda: not login.started(), 20.0, "the end of the relay")
    wait_until(lambda: not cluster_network.cell.processes(), 20.0, "the end of the slaves")
    assert time.monotonic() - start < 25.0
    wait_until(lambda: not cluster_network.cell.jobs(), 20.0, "the end of the jobs")
    # the documents of the array are left, which nobody could remove
    (folder,) = login.home.glob(".imp_parallel*")
    assert not [path for path in folder.iterdir() if path.suffix in (".zip", ".output")]
    too_late = [path for path in folder.glob("*.early") if "the run is over" in path.read_text()]
    assert len(too_late) == 2  # there was room for four
    shutil.rmtree(folder)


def test_a_slave_that_can_not_start_is_explained_with_what_its_job_said(
    laptop: Scripts, login: Sshd
) -> None:
    line = "echo no such module >&2; false"
    checking = script_of_check("SGEQsubSlaveArray(1, via=SSHHost('login'))", "--python", line)
    code, out, err = finish(laptop.start(checking), 120.0)
    assert (code, err) == (1, "")
    assert "no such module" in out.partition("FAILED   started")[2]


def test_a_login_node_without_grid_engine_is_an_error_at_once(laptop: Scripts, login: Sshd) -> None:
    (login.home / ".bash_profile").write_text("PATH=/nowhere:/usr/sbin\n")
    script = PROLOGUE + (
        "with Manager() as manager:\n"
        "    try: manager.add_slave(SGEQsubSlaveArray(1, via=SSHHost('login')))\n"
        "    except Exception as problem: print(type(problem).__name__, problem)\n"
    )
    code, out, err = finish(laptop.start(script))
    assert (code, err) == (0, "")
    assert "LaunchError" in out
    checking = script_of_check("SGEQsubSlaveArray(1, via=SSHHost('login'))")
    code_of_check, checked, _ = finish(laptop.start(checking))
    assert code_of_check == 1
    for text in (out, checked.partition("FAILED   checked")[2]):
        assert "qsub was not found" in text
        assert "/nowhere" in text


def test_what_slaves_print_beyond_the_login_node_comes_at_the_end(
    laptop: Scripts, login: Sshd
) -> None:
    script = PROLOGUE + (
        "with Manager(output='-') as manager:\n"
        "    manager.add_slave(SGEQsubSlaveArray(1, via=SSHHost('login')))\n"
        "    context = manager.get_context()\n"
        "    for number in range(3): context.add_task(task, number)\n"
        "    list(context.get_results())\n"
    )
    code, out, err = finish(laptop.start(script), 120.0)
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"[slave 0, task {number}] task {number}" for number in range(3)]
