"""Grid Engine's warnings reach all processes of a job, and cut no task off."""

from __future__ import annotations

import json
import subprocess
import textwrap
from pathlib import Path

import pytest

from tests.support.grid_engine import Cell
from tests.support.scripts import Scripts, finish
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

PROLOGUE = """
import json, os, signal, subprocess, sys, time
from imp_parallel_core import Error, Manager, SGEQsubSlaveArray

class Impatient(Manager):
    heartbeat_timeout = 1.0
    reconnect_timeout = 1.0

def task(number, seconds):
    with open("log", "a") as file:
        file.write(f"{number} begins {os.environ['SGE_TASK_ID']}\\n")
    time.sleep(seconds)
    while seconds < 1.0 and number > 3 and not os.path.exists("go"):
        time.sleep(0.05)
    with open("log", "a") as file:
        file.write(f"{number} ends {os.environ['SGE_TASK_ID']}\\n")
    return number

def add_tasks(context, count, seconds):
    for number in range(count):
        context.add_task(task, number, seconds)
"""


class Log:
    """What the tasks of a script have noted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _lines(self) -> list[tuple[int, str, int]]:
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return [(int(n), what, int(job_task)) for n, what, job_task in map(str.split, lines)]

    def numbers(self, what: str) -> list[int]:
        return sorted(number for number, noted, _ in self._lines() if noted == what)

    def at_work(self) -> set[int]:
        """Return the array's tasks that have begun one of the script's."""
        return {job_task for _, what, job_task in self._lines() if what == "begins"}


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def script_of(body: str) -> str:
    return PROLOGUE + textwrap.dedent(body)


def job_of(cell: Cell) -> str:
    (job,) = {line.split()[0] for line in cell.jobs().splitlines()[2:]}
    return job


def line_of(script: subprocess.Popen[str]) -> str:
    assert script.stdout is not None
    return script.stdout.readline()


def test_no_task_of_an_array_is_cut_off_or_run_twice_when_one_slave_is_deleted_with_notice(
    cluster: Cell, scripts: Scripts, tmp_path: Path, log: Log
) -> None:
    script = scripts.start(
        script_of("""
        with Manager() as manager:
            manager.add_slave(SGEQsubSlaveArray(4, "-notify"))
            context = manager.get_context(max_attempts=1)
            add_tasks(context, 16, 2.0)
            print(json.dumps(sorted(context.get_results_unordered())))
        """)
    )
    wait_until(lambda: log.at_work() == {1, 2, 3, 4}, what="work in all four")
    cluster.run("qdel", f"{job_of(cluster)}.2")  # in the middle of a task
    code, out, err = finish(script)
    assert code == 0, err
    assert json.loads(out) == list(range(16))
    assert log.numbers("begins") == log.numbers("ends") == list(range(16))
    assert "received SIGUSR2" in (tmp_path / "slave1.output").read_text()


def test_tasks_whose_programs_a_warning_ends_are_done_elsewhere(
    cluster: Cell, scripts: Scripts, log: Log
) -> None:
    script = scripts.start(
        script_of("""
        def with_program(number):
            with open("log", "a") as file:
                file.write(f"{number} begins {os.environ['SGE_TASK_ID']}\\n")
            subprocess.run(["sleep", "3"], check=True)
            return number

        with Manager() as manager:
            manager.add_slave(SGEQsubSlaveArray(3, "-notify"))
            context = manager.get_context()
            for number in range(9):
                context.add_task(with_program, number)
            print(json.dumps(sorted(context.get_results_unordered())))
        """)
    )
    wait_until(lambda: log.at_work() == {1, 2, 3}, what="work in all three")
    cluster.run("qdel", f"{job_of(cluster)}.1")  # in the middle of a task
    code, out, err = finish(script)
    assert code == 0, err
    assert json.loads(out) == list(range(9))
    assert len(log.numbers("begins")) == 10, "one was begun twice"


@pytest.mark.parametrize("options", ["", "-notify"])
def test_suspended_slaves_come_back_and_go_on_however_long_it_takes(
    cluster: Cell, scripts: Scripts, tmp_path: Path, log: Log, options: str
) -> None:
    script = scripts.start(
        script_of(f"""
        with Impatient() as manager:
            manager.add_slave(SGEQsubSlaveArray(2, {options!r}))
            context = manager.get_context(max_attempts=1)
            add_tasks(context, 16, 0.5)
            results = context.get_results_unordered()
            found = [next(results)]
            print("at work", flush=True)
            while not all("is suspended" in slave.detail for slave in manager.slaves):
                assert "gone" not in {{slave.state for slave in manager.slaves}}, manager.slaves
                time.sleep(0.05)  # they would have been given up by now
            print("suspended", flush=True)
            found += results
            print(json.dumps(sorted(found)))
            while not all(slave.state == "idle" for slave in manager.slaves):
                assert "gone" not in {{slave.state for slave in manager.slaves}}, manager.slaves
                time.sleep(0.05)
        """)
    )
    assert line_of(script) == "at work\n"  # suspended earlier, they would give no first result
    wait_until(lambda: log.at_work() == {1, 2}, what="work in both")
    job = job_of(cluster)
    cluster.run("qmod", "-sj", job)
    assert line_of(script) == "suspended\n"
    assert len(log.numbers("ends")) < 16
    (tmp_path / "go").touch()
    cluster.run("qmod", "-usj", job)
    code, out, err = finish(script)
    assert code == 0, err
    assert json.loads(out) == list(range(16))


def test_what_a_warned_task_starts_finds_the_signals_as_usual(
    scripts: Scripts,
) -> None:
    program = "import signal; print([signal.getsignal(n) == 0 for n in (10, 12, 15, 24)])"
    script = scripts.start(
        script_of(f"""
        def signals():
            for number in (10, 12, 15, 24):
                os.kill(os.getpid(), number)  # as Grid Engine does
            done = subprocess.run([sys.executable, "-c", {program!r}], stdout=subprocess.PIPE)
            reading, writing = os.pipe()
            if not os.fork():
                found = [signal.getsignal(n) == signal.SIG_DFL for n in (10, 12, 15, 24)]
                os.write(writing, repr(found).encode())
                os._exit(0)
            os.wait()
            return done.stdout.decode(), os.read(reading, 100).decode()

        with Manager() as manager:
            manager.add_slave(SGEQsubSlaveArray(1))
            context = manager.get_context(max_attempts=1)
            context.add_task(signals)  # in a runner that is a fork
            print(*next(context.get_results()), sep="")
            context.add_task(os._exit, 3)
            try:
                next(context.get_results())
            except Error as error:
                assert "exited with code 3" in str(error)
            context.add_task(signals)  # in one that is a new process
            print(*next(context.get_results()), sep="")
        """)
    )
    as_usual = "[True, True, True, True]"
    code, out, err = finish(script)
    assert (code, out) == (0, f"{as_usual}\n{as_usual}\n" * 2), err
