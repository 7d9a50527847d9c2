"""Whatever becomes of jobs, daemons or the master: no task is lost, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness_sge import manager_of, pids_of_task, squared, squares, wait_for

from tests.support.as_root import as_root
from tests.support.grid_engine import Cell
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def test_all_processes_of_a_slave_are_killed(cluster: Cell) -> None:
    with manager_of(3) as manager:
        context = manager.get_context()
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        for pid in pids_of_task(cluster, 2):
            os.kill(pid, signal.SIGKILL)
        found += results
        assert sorted(found) == squared(60)
        wait_until(lambda: sorted(s.state for s in manager.slaves) == ["gone", "idle", "idle"])


def test_one_task_of_the_array_is_deleted(cluster: Cell) -> None:
    with manager_of(3) as manager:
        context = manager.get_context()
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        cluster.run("qdel", f"{newest_job(cluster)}.2")
        found += results
        assert sorted(found) == squared(60)


def test_a_slave_that_is_warned_hands_back_and_finishes_what_it_is_at(
    cluster: Cell, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def task(number: int) -> int:
        with log.open("a") as file:
            file.write(f"{number}\n")
        time.sleep(0.1)
        return number

    # the wrapper dies of a signal that is not ignored
    with manager_of(2, "-notify", python="bash -c '\"$@\"; exit $?' wrapper python3") as manager:
        context = manager.get_context(max_attempts=1)
        for number in range(80):
            context.add_task(task, number)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: all(slave.tasks_done for slave in manager.slaves))
        cluster.run("qdel", f"{newest_job(cluster)}.1")
        found += results
        assert sorted(found) == list(range(80))
        assert manager.slaves[0].state == "gone"
    assert sorted(map(int, log.read_text().split())) == list(range(80))  # none was run twice
    assert "received SIGUSR2" in (tmp_path / "slave0.output").read_text()


def test_slaves_work_on_while_the_execution_daemon_is_away(cluster: Cell) -> None:
    with manager_of(2) as manager:
        context = manager.get_context()
        squares(context, 40, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        cluster.stop_execd()
        try:
            found += results
            assert sorted(found) == squared(40)
            manager.close()  # the jobs can't be deleted now; that may be said
        finally:
            cluster.start_execd()
    wait_until(lambda: not cluster.jobs(), 30.0, "the deletion of the jobs")


def test_the_master_is_killed_and_later_slaves_find_nobody(
    cluster: Cell, scripts: Scripts, tmp_path: Path
) -> None:
    script = scripts.start("""
        import time
        from imp_parallel_core import Manager, SGEQsubSlaveArray
        manager = Manager()
        manager.add_slave(SGEQsubSlaveArray(2))
        manager.add_slave(SGEQsubSlaveArray(1, "-h"))
        context = manager.get_context()
        for _ in range(2):
            context.add_task(time.sleep, 600)
        expected = ["working", "working", "queued"]
        for _ in range(600):
            if [slave.state for slave in manager.slaves] == expected:
                break
            time.sleep(0.05)
        else:
            raise SystemExit("not within 30 s")
        print("working", flush=True)
        time.sleep(600)
    """)
    assert script.stdout is not None
    assert script.stdout.readline() == "working\n"
    script.kill()
    wait_until(lambda: not cluster.processes(), 20.0, "the end of the running slaves")
    (job,) = {line.split()[0] for line in cluster.jobs().splitlines() if " hqw " in line}
    cluster.run("qrls", job)
    wait_until(lambda: not cluster.jobs(), 30.0, "the end of the late slave")
    said = (tmp_path / "slave2.output").read_text()
    assert said.count("\n") == 1
    assert "imp_parallel: " in said
    wait_until(lambda: "exit_status  0" in cluster.try_run("qacct", "-j", job).stdout)


@pytest.mark.parametrize(
    ("ending", "is_interrupted"), [("", False), ("time.sleep(600)", True)], ids=["falls", "ctrl_c"]
)
def test_a_script_that_ends_without_a_close_deletes_its_jobs_too(
    cluster: Cell, scripts: Scripts, tmp_path: Path, ending: str, is_interrupted: bool
) -> None:
    script = scripts.start(f"""
        import time
        from imp_parallel_core import Manager, SGEQsubSlaveArray
        manager = Manager()
        manager.add_slave(SGEQsubSlaveArray(1))
        manager.add_slave(SGEQsubSlaveArray(2, "-h"))
        context = manager.get_context()
        context.add_task(time.sleep, 600)
        expected = ["working", "queued", "queued"]
        for _ in range(600):
            if [slave.state for slave in manager.slaves] == expected:
                break
            time.sleep(0.05)
        else:
            raise SystemExit("not within 30 s")
        print("working", flush=True)
        {ending}
    """)
    assert script.stdout is not None
    assert script.stdout.readline() == "working\n"
    if is_interrupted:
        script.send_signal(signal.SIGINT)
    script.wait(20.0)
    wait_until(lambda: not cluster.jobs(), 10.0, "an empty queue")
    assert list(tmp_path.glob(".imp_parallel-*")) == []


def test_the_secrets_are_where_nobody_else_can_read_them(
    cluster: Cell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import json

    caplog.set_level(0)
    with manager_of(1, "-h") as manager:
        wait_for(manager, "queued")
        (document,) = tmp_path.glob(".imp_parallel-*/1")
        secret = json.loads(document.read_text())["secret"]
        assert len(secret) > 20
        pieces = [secret[start : start + 20] for start in range(0, len(secret) - 20, 200)]
        assert "Permission denied" in read_as_another_user(document)
        job = newest_job(cluster)
        cluster.run("qrls", job)
        wait_for(manager, "idle")
        shown = [cluster.run("qstat", "-j", job), caplog.text]
        shown += [path.read_text() for path in tmp_path.glob("slave*.output")]
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    shown.append((process / name).read_text(errors="replace"))
                except OSError:
                    continue
        spool = str(cluster.base / "spool")
        command = as_root("find", spool, "-type", "f", "-exec", "cat", "{}", "+")
        shown.append(subprocess.run(command, capture_output=True).stdout.decode(errors="replace"))
        assert any(str(document.parent) in text for text in shown)  # the script has been seen
        assert not [piece for piece in pieces if any(piece in text for text in shown)]


def read_as_another_user(path: Path) -> str:
    """Return what another user's ``cat`` says of a file, which root alone can find out."""
    another = as_root("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    done = subprocess.run([*another, "cat", str(path)], capture_output=True, text=True)
    return done.stdout + done.stderr


def newest_job(cell: Cell) -> str:
    """Return the number of the job that was submitted last."""
    return max((line.split()[0] for line in cell.jobs().splitlines()[2:]), key=int)
