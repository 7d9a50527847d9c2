"""However a script ends, nothing of it is left on a host; and output can't hold anything up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hosts import MakeSlave, client, folders, make_slave, there
from imp_parallel_ssh import SSHSlaveArray

from imp_parallel_core import Manager
from tests.support.sshd import Sshd
from tests.support.waiting import wait_until

__all__ = ["client", "make_slave", "there"]  # fixtures

SCRIPT = """\
import os, subprocess, sys, time
from imp_parallel_core import Manager
from imp_parallel_ssh import SSHSlaveArray

def work():
    subprocess.Popen(["sleep", "300"])  # a task may leave something behind
    print("at work", flush=True)
    open(f"at-{os.getpid()}", "w").close()
    time.sleep(300)

manager = Manager()
manager.reconnect_timeout = 3.0
manager.add_slave(SSHSlaveArray(["there"], 3, client=sys.argv[1]))
context = manager.get_context()
for _ in range(3):
    context.add_task(work)
for result in context.get_results_unordered():
    print(result)
"""


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def script(there: Sshd, client: str) -> subprocess.Popen[str]:
    """Start a script, and wait until its tasks run."""
    Path("script.py").write_text(textwrap.dedent(SCRIPT))
    process = subprocess.Popen(
        [sys.executable, "script.py", client], stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: len(list(Path.cwd().glob("at-*"))) == 3, what="tasks")
    return process


def nothing_is_left(sshd: Sshd) -> bool:
    return not sshd.started() and not folders(sshd)


def test_ctrl_c_ends_everything_on_the_host(script: subprocess.Popen[str], there: Sshd) -> None:
    assert len(there.started()) > 9
    script.send_signal(signal.SIGINT)
    _, errors = script.communicate(timeout=20)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: nothing_is_left(there), 10.0)


def test_a_master_that_is_killed_leaves_nothing_on_the_host_after_the_time_to_reconnect(
    script: subprocess.Popen[str], there: Sshd
) -> None:
    script.kill()
    script.communicate()
    wait_until(lambda: nothing_is_left(there), 10.0)


def test_a_master_whose_slaves_hang_ends_them_by_force(there: Sshd, make_slave: MakeSlave) -> None:
    """Their supervisors are stopped, so that they don't hear that they shall leave."""
    with Manager() as manager:
        manager.add_slave(make_slave())
        wait_until(lambda: manager.slaves[0].state == "idle")
        pid = manager.slaves[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        began_at = time.monotonic()
    assert time.monotonic() - began_at < 8.0
    wait_until(lambda: nothing_is_left(there), 15.0)


def test_a_slave_that_is_killed_leaves_nothing_that_its_tasks_have_started(
    there: Sshd, make_slave: MakeSlave
) -> None:
    def leave_a_daemon() -> None:
        subprocess.run(["sh", "-c", "setsid setsid sleep 307 </dev/null >/dev/null 2>&1 &"])

    def daemons() -> list[str]:
        return [line for line in there.started().values() if line.startswith("sleep 307")]

    with Manager() as manager:
        manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(leave_a_daemon)
        list(context.get_results_unordered())
        wait_until(lambda: len(daemons()) == 1)
        pid = manager.slaves[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not daemons(), 10.0)


def test_a_manager_that_is_closed_while_slaves_start_leaves_nothing(
    there: Sshd, client: str
) -> None:
    for wait_s in (0.0, 0.2, 0.6, 1.0):
        with Manager() as manager:
            manager.add_slave(SSHSlaveArray(["there"], 2, client=client))
            time.sleep(wait_s)  # the moment does not matter: there are more than can be waited for
    wait_until(lambda: nothing_is_left(there), 12.0)


def test_a_flood_of_output_comes_whole_and_holds_nothing_up(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    lines = 400_000

    def flood() -> str:
        for number in range(lines):
            print(f"{number:099d}")
        return "flooded"

    class Impatient(Manager):
        heartbeat_timeout = 5.0

    states = set()
    with Impatient() as manager:
        for _ in range(2):
            manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(flood)
        for number in range(200):
            context.add_task(lambda number=number: time.sleep(0.02) or number)  # type: ignore[func-returns-value]  # it returns None
        results = []
        for result in context.get_results_unordered():
            results.append(result)
            states |= {slave.state for slave in manager.slaves}
    assert len(results) == 201
    assert "suspected" not in states
    sizes = [path.stat().st_size for path in sorted(Path.cwd().glob("slave*.output"))]
    assert sum(sizes) == lines * 100


def test_output_is_there_while_the_task_runs(there: Sshd, make_slave: MakeSlave) -> None:
    def talk() -> None:
        print("something to say")
        while not Path("heard").exists():
            time.sleep(0.01)

    with Manager() as manager:
        manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(talk)
        wait_until(lambda: Path("slave0.output").exists())
        wait_until(lambda: "something to say" in Path("slave0.output").read_text())
        Path("heard").touch()
        list(context.get_results_unordered())


def test_a_runner_that_crashes_is_told_of_with_the_end_of_its_output(
    there: Sshd, make_slave: MakeSlave
) -> None:
    def crash() -> None:
        print("the last words")
        os.abort()

    with Manager() as manager:
        manager.add_slave(make_slave())
        context = manager.get_context(max_attempts=1)
        context.add_task(crash)
        (error,) = context.get_results_unordered(on_error="return")
    assert "SIGABRT" in str(error)
    assert "the last words" in str(error)
