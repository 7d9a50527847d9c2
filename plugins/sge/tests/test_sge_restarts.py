"""A task of an array that Grid Engine restarts takes its place again.

Its document, which it needs for that, is there while its slave has no connection, and only then.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.grid_engine import Cell
from tests.support.scripts import Scripts, finish
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

SCRIPT = """
import glob, json, os, time
from imp_parallel_core import Manager, SGEQsubSlaveArray

class Impatient(Manager):
    heartbeat_timeout = 2.0
    reconnect_timeout = 1.0

def task(seconds):
    time.sleep(seconds)
    return os.environ["SGE_TASK_ID"], os.getppid()

def documents():
    return glob.glob(".imp_parallel-*/[0-9]")

with {manager}() as manager:
    manager.add_slave(SGEQsubSlaveArray({count}, {options!r}))
    context = manager.get_context(max_attempts=1)
    slaves = set()
    deadline = time.monotonic() + 100.0
    waiting = 0
    while sum(number == "{count}" for number, _ in slaves) < 2:
        assert time.monotonic() < deadline, manager.slaves
        for _ in range(8):
            context.add_task(task, 0.2)
            waiting += 1
        for slave in context.get_results_unordered():
            slaves.add(slave)
            if len(slaves) == {count}:
                while documents(): time.sleep(0.05)  # who is connected needs none
                open({manager!r} + {options!r}, "w").close()
            waiting -= 1
        assert waiting == 0
    print(json.dumps([slave.state == "gone" for slave in manager.slaves]))
    while documents(): time.sleep(0.05)
"""

# qstat as where it forgets jobs for a while
FORGETFUL = """\
#!/bin/sh
case "$*" in *-xml*) test ! -e forget || {
    echo "<?xml version='1.0'?><job_info><queue_info/><job_info/></job_info>"
    exit
} ;; esac
exec /usr/bin/qstat "$@"
"""


@pytest.mark.parametrize(
    ("manager", "options"),
    [("Manager", "-r y"), ("Impatient", "-r y"), ("Manager", "-r y -notify")],
    ids=["comes_back", "was_given_up", "has_left"],
)
def test_a_restarted_task_of_an_array_works_again(
    cluster: Cell, scripts: Scripts, tmp_path: Path, manager: str, options: str
) -> None:
    script, job = start_all(cluster, scripts, tmp_path, manager, options)
    cluster.run("qmod", "-rj", f"{job}.2")
    check_that_all_work(script)


def test_the_last_slave_that_leaves_since_its_task_is_restarted_works_again(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    script, job = start_all(cluster, scripts, tmp_path, "Manager", "-r y -notify", count=1)
    cluster.run("qmod", "-rj", f"{job}.1")
    err = check_that_all_work(script, count=1)
    assert " leaves: it received SIGUSR2" in err
    assert "waits in a queue again" in err
    assert "lost " not in err


def test_a_restarted_task_of_an_array_that_qstat_forgets_meanwhile_works_again(
    cluster: Cell, scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    qstat = tmp_path / "bin/qstat"
    qstat.parent.mkdir()
    qstat.write_text(FORGETFUL)
    qstat.chmod(0o755)
    monkeypatch.setenv("PATH", str(qstat.parent), prepend=os.pathsep)
    script, job = start_all(cluster, scripts, tmp_path, "Impatient", "-r y")
    (tmp_path / "forget").touch()
    cluster.run("qmod", "-rj", f"{job}.2")
    check_that_all_work(script)


def test_a_restarted_task_waits_until_the_master_notices_that_the_one_before_has_gone(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    script, job = start_all(cluster, scripts, tmp_path, "Manager", "-r y")
    script.send_signal(signal.SIGSTOP)  # so it notices nothing
    try:
        before = set(cluster.processes())
        cluster.run("qmod", "-rj", f"{job}.2")
        wait_until(lambda: waits(set(cluster.processes().values())), 60.0, "the next start's wait")
        assert set(cluster.processes()) - before
    finally:
        script.send_signal(signal.SIGCONT)
    check_that_all_work(script)


def start_all(
    cluster: Cell, scripts: Scripts, folder: Path, manager: str, options: str, count: int = 2
) -> tuple[subprocess.Popen[str], str]:
    """Start the script; when all slaves have worked, return it and the job's number."""
    script = scripts.start(SCRIPT.format(manager=manager, options=options, count=count))
    wait_until((folder / (manager + options)).exists, what="work in all slaves")
    return script, cluster.jobs().splitlines()[2].split()[0]


def waits(commands: set[str]) -> bool:
    """Return whether a job's script pauses in its wait for a document."""
    return "sleep\x001\x00" in commands


def check_that_all_work(script: subprocess.Popen[str], count: int = 2) -> str:
    """Check that the script ends well; return what it has been told."""
    code, out, err = finish(script, 120.0)
    assert code == 0, err
    assert json.loads(out) == [False] * count
    assert "has been started anew" in err
    return err
