"""Whatever becomes of jobs, daemons or the master: no task is lost, and nothing is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from harness_slurm import Impatient, Log, manager_of, squared, squares, wait_for

from tests.support.as_root import as_root, signal_as_root
from tests.support.scripts import Scripts
from tests.support.slurm import Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def test_all_processes_of_a_slave_are_killed(slurm: Slurm) -> None:
    with manager_of(3) as manager:
        context = manager.get_context()
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: slurm.pids_of_task(2), what="the second slave")
        signal_as_root(signal.SIGKILL, *slurm.pids_of_task(2))
        found += results
        assert sorted(found) == squared(60)
        wait_until(lambda: sorted(s.state for s in manager.slaves) == ["gone", "idle", "idle"])


def test_a_slave_that_is_cancelled_hands_back_and_finishes_what_it_is_at(
    slurm: Slurm, tmp_path: Path, log: Log
) -> None:
    # the wrapper dies of a signal that is not ignored
    with manager_of(2, python="bash -c '\"$@\"; exit $?' wrapper python3") as manager:
        context = manager.get_context(max_attempts=1)
        log.add_tasks(context, 40, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: all(slave.tasks_done for slave in manager.slaves))
        slurm.run("scancel", f"{slurm.newest_job()}_1")
        found += results
        assert len(found) == 40
        wait_until(lambda: manager.slaves[0].state == "gone", what=str(manager.slaves))
    assert log.numbers() == list(range(40)), "one was run twice"
    assert "received SIGTERM" in (tmp_path / "slave0.output").read_text()


def test_a_warning_reaches_the_slave_although_slurm_sends_it_to_the_script_alone(
    slurm: Slurm, tmp_path: Path, log: Log
) -> None:
    with manager_of(2) as manager:
        context = manager.get_context(max_attempts=1)
        log.add_tasks(context, 40, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_until(lambda: all(slave.tasks_done for slave in manager.slaves))
        # as --signal=USR1@60 has it done
        slurm.run("scancel", "--batch", "--signal=USR1", f"{slurm.newest_job()}_1")
        found += results
        assert len(found) == 40
        wait_until(lambda: manager.slaves[0].state == "gone", what=str(manager.slaves))
    assert log.numbers() == list(range(40)), "one was run twice"
    assert "received SIGUSR1" in (tmp_path / "slave0.output").read_text()


def test_slaves_work_on_while_slurmctld_is_away(
    slurm: Slurm, caplog: pytest.LogCaptureFixture
) -> None:
    with manager_of(3, kind=Impatient) as manager:
        context = manager.get_context()
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        wait_for(manager, "working", "working", "working")
        slurm.stop_controller()
        try:
            signal_as_root(signal.SIGKILL, *slurm.pids_of_task(2))  # now squeue is asked
            found += results
            assert sorted(found) == squared(60)
            wait_until(lambda: "can't be looked at" in caplog.text, 60.0, "a warning")
        finally:
            slurm.start_controller()


def test_the_master_is_killed_and_later_slaves_find_nobody(
    slurm: Slurm, scripts: Scripts, tmp_path: Path
) -> None:
    script = scripts.start("""
        import time
        from imp_parallel_core import Manager, SlurmSlaveArray
        manager = Manager()
        manager.add_slave(SlurmSlaveArray(2))
        manager.add_slave(SlurmSlaveArray(1, "--hold"))
        context = manager.get_context()
        for _ in range(2):
            context.add_task(time.sleep, 600)
        expected = ["working", "working", "queued"]
        for _ in range(1200):
            if [slave.state for slave in manager.slaves] == expected:
                break
            time.sleep(0.05)
        else:
            raise SystemExit("not within 60 s")
        print("working", flush=True)
        time.sleep(600)
    """)
    assert script.stdout is not None
    assert script.stdout.readline() == "working\n"
    script.kill()
    wait_until(lambda: not slurm.processes(), 30.0, "the end of the running slaves")
    held = slurm.run("squeue", "-h", "-t", "pending", "-o", "%F").strip()
    slurm.run("scontrol", "release", held)
    wait_until(lambda: not slurm.jobs(), 30.0, "the end of the late slave")
    said = (tmp_path / "slave2.output").read_text()
    assert said.count("\n") == 1
    assert "imp_parallel: " in said
    assert f"{held}_1 COMPLETED" in slurm.jobs("all")


@pytest.mark.parametrize(
    ("ending", "is_interrupted"), [("", False), ("time.sleep(600)", True)], ids=["falls", "ctrl_c"]
)
def test_a_script_that_ends_without_a_close_deletes_its_jobs_too(
    slurm: Slurm, scripts: Scripts, tmp_path: Path, ending: str, is_interrupted: bool
) -> None:
    script = scripts.start(f"""
        import time
        from imp_parallel_core import Manager, SlurmSlaveArray
        manager = Manager()
        manager.add_slave(SlurmSlaveArray(1))
        manager.add_slave(SlurmSlaveArray(2, "--hold"))
        context = manager.get_context()
        context.add_task(time.sleep, 600)
        expected = ["working", "queued", "queued"]
        for _ in range(1200):
            if [slave.state for slave in manager.slaves] == expected:
                break
            time.sleep(0.05)
        else:
            raise SystemExit("not within 60 s")
        print("working", flush=True)
        {ending}
    """)
    assert script.stdout is not None
    assert script.stdout.readline() == "working\n"
    if is_interrupted:
        script.send_signal(signal.SIGINT)
    script.wait(30.0)
    wait_until(lambda: not slurm.jobs(), 20.0, "an empty queue")
    assert list(tmp_path.glob(".imp_parallel-*")) == []


def test_the_secrets_are_where_nobody_else_can_read_them(
    slurm: Slurm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    with manager_of(1, "--hold") as manager:
        wait_for(manager, "queued")
        (document,) = tmp_path.glob(".imp_parallel-*/1")
        secret = json.loads(document.read_text())["secret"]
        assert len(secret) > 20
        pieces = [secret[start : start + 20] for start in range(0, len(secret) - 20, 200)]
        assert "Permission denied" in read_as_another_user(document)
        job = slurm.newest_job()
        shown = [slurm.run("scontrol", "show", "job", job)]
        shown.append(slurm.run("scontrol", "write", "batch_script", job, "-"))
        slurm.run("scontrol", "release", job)
        wait_for(manager, "idle")
        shown += [slurm.run("scontrol", "show", "job", job), caplog.text]
        shown += [path.read_text() for path in tmp_path.glob("slave*.output")]
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    shown.append((process / name).read_text(errors="replace"))
                except OSError:
                    continue
        command = as_root("find", str(slurm.base), "-type", "f", "-exec", "cat", "{}", "+")
        shown.append(subprocess.run(command, capture_output=True).stdout.decode(errors="replace"))
        assert any(str(document.parent) in text for text in shown)  # the script has been seen
        assert not [piece for piece in pieces if any(piece in text for text in shown)]


def read_as_another_user(path: Path) -> str:
    """Return what another user's ``cat`` says of a file, which root alone can find out."""
    another = as_root("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    done = subprocess.run([*another, "cat", str(path)], capture_output=True, text=True)
    return done.stdout + done.stderr
