"""Slaves that are jobs on a real Grid Engine do what others do."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_sge import manager_of, start_in_environment
from imp_parallel_sge import SGEQsubSlaveArray

from imp_parallel_core import Manager
from tests.support.batch_suite.commands import submissions_in
from tests.support.batch_suite.slaves import (
    Thrifty,
    read_meanwhile,
    squared,
    squares,
    states,
    wait_for,
    wait_for_file,
)
from tests.support.grid_engine import Cell
from tests.support.scripts import Scripts, finish
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


def test_a_python_line_may_need_the_login_shell_and_a_wrapper(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    profile = cluster.home / ".bash_profile"
    profile.write_text('false\nmodule() { export LOADED="$2"; }\n')
    wrapper = tmp_path / "wrap per.sh"
    wrapper.write_text('#!/bin/bash\n"$@"\nexit $?\n')
    wrapper.chmod(0o755)
    line = f"module load imp; {shlex.quote(str(wrapper))} {shlex.quote(sys.executable)}"
    source = f"""
        import os
        from imp_parallel_core import Manager, SGEQsubSlaveArray
        with Manager(python={line!r}) as manager:
            manager.add_slave(SGEQsubSlaveArray(1))
            context = manager.get_context()
            context.add_task(os.getenv, "LOADED")
            print(*context.get_results_unordered())
    """
    try:
        assert finish(scripts.start(source)) == (0, "imp\n", "")
    finally:
        profile.unlink()


@pytest.mark.parametrize("is_a_line", [False, True])
def test_a_profile_that_goes_elsewhere_does_not_move_the_tasks(
    cluster: Cell, scripts: Scripts, tmp_path: Path, is_a_line: bool
) -> None:
    profile = cluster.home / ".bash_profile"
    profile.write_text("cd /\n")
    python = f"exec {shlex.quote(sys.executable)}" if is_a_line else sys.executable
    source = f"""
        import os
        from imp_parallel_core import Manager, SGEQsubSlaveArray
        with Manager(python={python!r}) as manager:
            manager.add_slave(SGEQsubSlaveArray(1))
            context = manager.get_context()
            context.add_task(os.getcwd)
            print(*context.get_results_unordered())
    """
    try:
        assert finish(scripts.start(source)) == (0, f"{tmp_path}\n", "")
    finally:
        profile.unlink()


WITH_A_QSUB_THAT_HANGS = """
    import os
    from imp_parallel_core import Manager, SGEQsubSlaveArray
    os.environ["PATH"] = os.getcwd() + "/bin:" + os.environ["PATH"]
    with Manager() as manager:
        manager.add_slave(SGEQsubSlaveArray(2, {options!r}))
        list(manager.get_context().get_results())
        while True: pass
"""


@pytest.mark.parametrize("options", ["", "-N mine"])
def test_what_a_run_left_that_was_killed_while_qsub_hung_is_removed_by_a_later_one(
    cluster: Cell, scripts: Scripts, tmp_path: Path, options: str
) -> None:
    qsub = tmp_path / "bin/qsub"
    qsub.parent.mkdir()

    def killed_while(text: str) -> Path:
        """Kill a script when its qsub has come that far; return the folder that it leaves."""
        qsub.write_text("#!/bin/sh\n" + text)
        qsub.chmod(0o755)
        before = set(tmp_path.glob(".imp_parallel-*"))
        script = scripts.start(WITH_A_QSUB_THAT_HANGS.format(options=options))
        wait_until((tmp_path / "hangs").exists, what="qsub")
        wait_until(lambda: submissions_in(tmp_path, "qsub"), what="what ends it")
        script.kill()
        script.wait(30.0)
        wait_until(lambda: not submissions_in(tmp_path, "qsub"), what="its end")
        (tmp_path / "hangs").unlink()
        (left,) = set(tmp_path.glob(".imp_parallel-*")) - before
        return left

    without_job = killed_while("touch hangs; exec sleep 100")
    with_job = killed_while('/usr/bin/qsub -h "$@" >/dev/null; touch hangs; exec sleep 100')
    young = killed_while("touch hangs; exec sleep 100")
    assert list(young.glob("[0-9]"))
    for path in (without_job, with_job):
        os.utime(path, (0, 0))
    with manager_of(1):
        wait_until(lambda: not without_job.exists(), what="its removal")
        assert with_job.exists()
    job = cluster.jobs().splitlines()[2].split()[0]
    cluster.run("qdel", job)
    wait_until(lambda: not cluster.jobs(), what="an empty queue")
    os.utime(with_job, (0, 0))
    with manager_of(1):
        wait_until(lambda: not with_job.exists(), what="its removal")
    assert young.exists()


KILLED = """
    import time
    from imp_parallel_core import Manager, SGEQsubSlaveArray
    with Manager() as manager:
        manager.add_slave(SGEQsubSlaveArray(2{options}))
        context = manager.get_context()
        context.add_task(time.sleep, 600)
        while {state!r} not in [slave.state for slave in manager.slaves]: time.sleep(0.1)
        print("on", flush=True)
        list(context.get_results_unordered())
"""


def left_by(scripts: Scripts, folder: Path, state: str, options: str = "") -> Path:
    """End a script by SIGTERM; return the folder that it leaves, made old."""
    before = set(folder.glob(".imp_parallel-*"))
    script = scripts.start(KILLED.format(options=options, state=state))
    assert script.stdout is not None
    assert script.stdout.readline() == "on\n"
    script.terminate()
    finish(script)
    (left,) = set(folder.glob(".imp_parallel-*")) - before
    return left


def test_what_a_run_left_that_was_ended_by_sigterm_is_removed_by_the_next(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    old, other, young = (left_by(scripts, tmp_path, "working") for _ in range(3))
    wait_until(lambda: not cluster.jobs(), 60.0, "an empty queue")
    waits = left_by(scripts, tmp_path, "queued", ', "-h"')
    job = (other / "job").read_text()
    (other / "job").write_text(job.replace("default", "another cell"))
    mine = tmp_path / ".imp_parallel-mine"
    mine.mkdir(mode=0o700)
    (mine / "job").write_text(job)
    for path in (old, other, waits, mine):
        os.utime(path, (0, 0))
    next_one = f"""
        import pathlib, time
        from imp_parallel_core import Manager, SGEQsubSlaveArray
        with Manager() as manager:
            manager.add_slave(SGEQsubSlaveArray(1))
            while pathlib.Path({str(old)!r}).exists(): time.sleep(0.1)
    """
    code, _, err = finish(scripts.start(next_one))
    cluster.run("qdel", "-u", "*")
    wait_until(lambda: not cluster.jobs(), what="an empty queue")
    left = set(tmp_path.glob(".imp_parallel-*"))
    for path in left:
        shutil.rmtree(path)
    assert (code, left) == (0, {other, young, waits, mine})
    assert err == f"{mine} is left: it is no private folder that imp_parallel made\n"


def test_a_run_that_is_ended_by_sigterm_leaves_nothing_if_its_script_heeds_it(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    heeds = "\n    import signal, sys\n    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    source = heeds + KILLED.format(options="", state="working")
    script = scripts.start(source)
    assert script.stdout is not None
    assert script.stdout.readline() == "on\n"
    script.terminate()
    assert finish(script)[0] == 7
    assert not list(tmp_path.glob(".imp_parallel-*"))
    assert not cluster.jobs()


def test_slaves_may_be_added_while_others_work(cluster: Cell) -> None:
    with manager_of(1) as manager:
        context = manager.get_context()
        squares(context, 200, 0.02)
        results = context.get_results_unordered()
        found = [next(results)]
        manager.add_slave(SGEQsubSlaveArray(2, "-l arch='lx-*' -q main.q"))
        found += results
        assert sorted(found) == squared(200)
        wait_for(manager, "idle", "idle", "idle")
        assert len(states(manager)) == 3


IN_ENVIRONMENT = """
import glob, os, pathlib, sys, time
from imp_parallel_core import Manager, SGEPESlaveArray

def place(number):
    time.sleep(0.1)
    supervisor = os.getppid()
    parent = pathlib.Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1]
    return supervisor, int(parent)

def wait_until(condition):
    deadline = time.monotonic() + 40.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)

with Manager() as manager:
    manager.add_slave(SGEPESlaveArray())
    print(len(manager.slaves), "slaves")
    wait_until(lambda: all(slave.state == "idle" for slave in manager.slaves))
    wait_until(lambda: not glob.glob(".imp_parallel-*/[0-9]"))
    print(glob.glob(".imp_parallel-*/[0-9]"))
    context = manager.get_context()
    for number in range(30):
        context.add_task(place, number)
    places = set(context.get_results_unordered())
    print(len(places), "places,", sum(parent == os.getpid() for _, parent in places), "here")
    wait_until(lambda: not any(map(os.path.exists, sys.argv[1:])))
    print(*map(os.path.exists, sys.argv[1:]))
print("closed")
"""


def run_in_environment(folder: Path, *arguments: str) -> list[str]:
    """Run a script on three slots of a parallel environment; return the lines that it says."""
    process = start_in_environment(folder, IN_ENVIRONMENT, *arguments)
    assert process.wait(100) == 0
    *said, last = (folder / "out").read_text().splitlines()
    assert last == "closed", said
    return said


def test_slaves_fill_a_parallel_environment_and_the_first_is_beside_the_script(
    cluster: Cell, tmp_path: Path
) -> None:
    said = run_in_environment(tmp_path)
    assert said == ["3 slaves", "[]", "3 places, 1 here", ""]
    assert list(tmp_path.glob("slave*")) == []  # they said nothing
    assert list(tmp_path.glob(".imp_parallel-*")) == []


OVER_AT_ONCE = """
import subprocess, time
from imp_parallel_core import Manager, SGEPESlaveArray

for _ in range(2):
    with Manager() as manager:
        manager.add_slave(SGEPESlaveArray())
        context = manager.get_context()
        context.add_task(int, 1)
        print(*context.get_results_unordered(), flush=True)
    time.sleep(3.0)  # for Grid Engine to hear of tasks that were killed, and to end the job
print("closed")
"""


def test_a_manager_that_is_closed_while_slaves_start_leaves_the_parallel_job_alone(
    cluster: Cell, tmp_path: Path
) -> None:
    process = start_in_environment(tmp_path, OVER_AT_ONCE)
    assert process.wait(100) == 0
    assert (tmp_path / "out").read_text().splitlines() == ["1", "1", "closed"]


def test_a_parallel_environment_removes_what_an_earlier_run_left(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    left = left_by(scripts, tmp_path, "working")
    wait_until(lambda: not cluster.jobs(), 60.0, "an empty queue")
    os.utime(left, (0, 0))
    assert run_in_environment(tmp_path, str(left))[-1] == "False"
    assert not left.exists()


@pytest.fixture
def full(cluster: Cell) -> Iterator[Manager]:
    """A Manager with eight slaves that run, and twelve that wait."""
    with Thrifty() as manager:
        manager.add_slave(SGEQsubSlaveArray(20))
        wait_for(manager, *["idle"] * 8, *["queued"] * 12)
        yield manager


def waiting_in(cluster: Cell) -> int:
    return sum(" qw " in line for line in cluster.jobs().splitlines())


def test_jobs_that_wait_in_vain_are_deleted_but_only_while_results_are_read(
    cluster: Cell, full: Manager, tmp_path: Path
) -> None:
    context = full.get_context()
    for _ in range(5):
        context.add_task(wait_for_file, "go")
    time.sleep(3.0)  # longer than it would take
    assert waiting_in(cluster) == 12
    reader, found = read_meanwhile(context)
    wait_until(lambda: waiting_in(cluster) == 5, what="the deletion")
    assert [slave.state for slave in full.slaves[13:]] == ["gone"] * 7
    assert "not needed" in full.slaves[-1].detail
    (tmp_path / "go").touch()
    reader.join(30.0)
    assert found == ["go"] * 5
    squares(context, 100, 0.01)  # who adds more later has slaves for it
    assert sorted(context.get_results_unordered()) == squared(100)


def test_slaves_are_left_for_the_tasks_if_all_that_run_are_lost(
    cluster: Cell, full: Manager, tmp_path: Path
) -> None:
    context = full.get_context()
    for _ in range(2):
        context.add_task(wait_for_file, "go")
    reader, found = read_meanwhile(context)
    wait_until(lambda: waiting_in(cluster) == 2, what="the deletion")
    job = max((line.split()[0] for line in cluster.jobs().splitlines()[2:]), key=int)
    cluster.run("qdel", job, "-t", "1-8")
    wait_until(lambda: [slave.state for slave in full.slaves[:8]] == ["gone"] * 8)
    (tmp_path / "go").touch()
    reader.join(60.0)
    assert found == ["go"] * 2
