"""In an allocation, one srun starts a slave on every task slot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from imp_parallel_slurm import SlurmStepSlaveArray

from imp_parallel_core import LaunchError, Manager
from tests.support.checking import check
from tests.support.slurm import NODES, Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

PROLOGUE = """
import glob, os, signal, sys, time
from imp_parallel_core import Manager, SlurmStepSlaveArray
from imp_parallel_core._commands.main import main

def place(number):
    time.sleep(0.05)
    return int(os.environ["SLURM_PROCID"]), os.environ["SLURMD_NODENAME"]

def die(number):
    rank, _ = place(number)
    if rank == 1 and not os.path.exists("died"):
        open("died", "w").close()
        supervisor = os.getppid()
        script = int(open(f"/proc/{supervisor}/stat").read().rpartition(")")[2].split()[1])
        for pid in (script, supervisor, os.getpid()):
            os.kill(pid, signal.SIGKILL)
    return rank

def wait_until(condition):
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, manager.slaves
        time.sleep(0.05)

def add_tasks(context, task):
    for number in range(60):
        context.add_task(task, number)
"""


def under_salloc(
    folder: Path, body: str, *options: str, limit_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run a script in an allocation, as a person would; return how it ended."""
    (folder / "script.py").write_text(PROLOGUE + textwrap.dedent(body))
    command = [sys.executable, "-W", "error", "script.py"]
    return subprocess.run(
        ["salloc", "--quiet", *options, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def test_a_slave_runs_on_each_task_slot_of_all_nodes(slurm: Slurm, tmp_path: Path) -> None:
    done = under_salloc(
        tmp_path,
        """
        with Manager() as manager:
            manager.add_slave(SlurmStepSlaveArray())
            wait_until(lambda: all(slave.state == "idle" for slave in manager.slaves))
            wait_until(lambda: not glob.glob(".imp_parallel-*/[0-9]"))  # the documents
            context = manager.get_context()
            add_tasks(context, place)
            places = dict(context.get_results_unordered())
            print(len(manager.slaves), sorted(places), sorted(set(places.values())))
        """,
        *("--ntasks=6", "--nodes=2"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"6 {[*range(6)]} {[*NODES]}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_a_batch_script_may_use_all_task_slots_of_its_own_job(slurm: Slurm, tmp_path: Path) -> None:
    body = """
    with Manager() as manager:
        manager.add_slave(SlurmStepSlaveArray())
        context = manager.get_context()
        add_tasks(context, place)
        while len({rank for rank, _ in context.get_results_unordered()}) < 2:
            add_tasks(context, place)
        print(len(manager.slaves))
    """
    (tmp_path / "script.py").write_text(PROLOGUE + textwrap.dedent(body))
    wrapped = f"exec {sys.executable} -W error script.py"
    options = ("--ntasks=2", f"--chdir={tmp_path}", "--output=said")
    slurm.run("sbatch", *options, f"--wrap={wrapped}")
    wait_until(lambda: not slurm.jobs(), 60.0, "the end of the job")
    assert (tmp_path / "said").read_text() == "2\n"
    assert {path.name for path in tmp_path.iterdir()} == {"said", "script.py"}


def test_slaves_run_beside_other_steps_of_the_allocation(slurm: Slurm, tmp_path: Path) -> None:
    done = under_salloc(
        tmp_path,
        """
        import subprocess

        other = subprocess.Popen(["srun", "sh", "-c", "touch begun; sleep 600"])
        try:
            while not os.path.exists("begun"):
                time.sleep(0.05)
            with Manager() as manager:
                manager.add_slave(SlurmStepSlaveArray())
                wait_until(lambda: all(slave.state == "idle" for slave in manager.slaves))
                print(len(manager.slaves), "beside", other.poll())
        finally:
            other.terminate()
            other.wait()
        """,
        "--ntasks=2",
    )
    assert (done.returncode, done.stdout) == (0, "2 beside None\n"), done.stderr


def test_a_slave_that_dies_costs_its_task_one_attempt_and_no_other_slave(
    slurm: Slurm, tmp_path: Path
) -> None:
    done = under_salloc(
        tmp_path,
        """
        with Manager() as manager:
            manager.add_slave(SlurmStepSlaveArray())
            wait_until(lambda: all(slave.state == "idle" for slave in manager.slaves))
            context = manager.get_context()
            add_tasks(context, die)
            print(len(list(context.get_results_unordered())))
            wait_until(lambda: manager.slaves[1].state == "gone")
            print([slave.state for slave in manager.slaves])
            print(manager.slaves[1].detail)
        """,
        "--ntasks=3",
    )
    assert done.returncode == 0, done.stderr
    count, states, detail = done.stdout.splitlines()
    assert count == "60"
    assert states == "['idle', 'gone', 'idle']"
    assert "srun: Killed" in detail


def test_an_srun_that_is_refused_is_told_with_its_words(slurm: Slurm, tmp_path: Path) -> None:
    done = under_salloc(
        tmp_path,
        """
        os.environ["SLURM_CPUS_PER_TASK"] = "99"
        main(["check", "SlurmStepSlaveArray()"])
        with Manager() as manager:
            manager.add_slave(SlurmStepSlaveArray())
            context = manager.get_context()
            context.add_task(os.getpid)
            list(context.get_results_unordered())
        """,
        "--ntasks=2",
    )
    assert done.returncode == 1
    assert "NoSlaveStartedError" in done.stderr
    for text in (done.stderr, done.stdout):
        assert "Unable to create step" in text
        assert "srun --ntasks=2" in text


def test_a_python_line_that_fails_is_told_with_its_words(slurm: Slurm, tmp_path: Path) -> None:
    done = under_salloc(
        tmp_path,
        """
        line = "nonsense_module load imp; python3"
        main(["check", "SlurmStepSlaveArray()", "--python", line])
        with Manager(python=line) as manager:
            manager.add_slave(SlurmStepSlaveArray())
            context = manager.get_context()
            context.add_task(os.getpid)
            list(context.get_results_unordered())
        """,
        "--ntasks=2",
    )
    assert done.returncode == 1
    for text in (done.stderr, done.stdout):
        assert "nonsense_module: command not found" in text
        assert "exit code 127" in text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_the_script_is_killed(
    slurm: Slurm, tmp_path: Path, number: int
) -> None:
    done = under_salloc(
        tmp_path,
        f"""
        manager = Manager()
        manager.add_slave(SlurmStepSlaveArray())
        context = manager.get_context()
        for _ in range(2):
            context.add_task(time.sleep, 600)
        wait_until(lambda: all(slave.state == "working" for slave in manager.slaves))
        print("working", flush=True)
        os.kill(os.getpid(), {int(number)})
        """,
        "--ntasks=2",
    )
    assert done.stdout == "working\n"
    wait_until(lambda: not slurm.processes(), 30.0, "the end of the slaves")
    wait_until(lambda: not slurm.jobs(), 30.0, "the end of the allocation")


def test_a_slave_that_works_at_the_end_of_the_script_is_ended(slurm: Slurm, tmp_path: Path) -> None:
    done = under_salloc(
        tmp_path,
        """
        with Manager() as manager:
            manager.add_slave(SlurmStepSlaveArray())
            context = manager.get_context()
            for _ in range(2):
                context.add_task(time.sleep, 600)
            wait_until(lambda: all(slave.state == "working" for slave in manager.slaves))
        print("closed")
        """,
        "--ntasks=2",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
    assert not slurm.processes()


def test_a_warning_before_the_limit_lets_slaves_finish_what_they_are_at(
    slurm: Slurm, tmp_path: Path
) -> None:
    done = under_salloc(
        tmp_path,
        """
        import subprocess

        def slow(number):
            with open("log", "a") as file:
                file.write(f"{number}\\n")
            time.sleep(0.3)
            return number

        with Manager() as manager:
            manager.add_slave(SlurmStepSlaveArray())
            wait_until(lambda: all(slave.state == "idle" for slave in manager.slaves))
            context = manager.get_context(max_attempts=1)
            for number in range(200):
                context.add_task(slow, number)
            results = context.get_results_unordered()
            found = [next(results)]
            step = f"{os.environ['SLURM_JOB_ID']}.0"
            subprocess.run(["scancel", "--signal=USR1", step], check=True)
            found += results
        """,
        "--ntasks=2",
    )
    assert "NoMoreSlavesError" in done.stderr
    begun = (tmp_path / "log").read_text().split()
    assert 2 <= len(begun) < 200
    said = [(tmp_path / f"slave{number}.output").read_text() for number in range(2)]
    assert all("received SIGUSR1" in text for text in said)


def test_what_is_no_allocation_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    with Manager(output=None) as manager, pytest.raises(LaunchError, match="salloc --ntasks=N"):
        manager.add_slave(SlurmStepSlaveArray())
    assert "salloc --ntasks=N" in check("SlurmStepSlaveArray()").failure("checked")
