"""Slaves that are jobs on a real Slurm do what others do."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from harness_slurm import Impatient, manager_of
from imp_parallel_slurm import SlurmSlaveArray

from imp_parallel_core import Manager
from tests.support.batch_suite.slaves import squared, squares, wait_for
from tests.support.scripts import Scripts, finish
from tests.support.slurm import NODES, SLOTS, Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)

README_LIKE = """
    import os
    from imp_parallel_core import Manager, SlurmSlaveArray

    def setup():
        return 1000

    class ScoreAt:
        def __init__(self, distance):
            self.distance = distance

        def __call__(self, model):
            import time
            time.sleep(0.1)
            return self.distance, model + self.distance, os.environ["SLURM_ARRAY_TASK_ID"]

    with Manager() as manager:
        manager.add_slave(SlurmSlaveArray(4))
        context = manager.get_context(setup)
        for distance in range(100):
            context.add_task(ScoreAt(distance))
        found = list(context.get_results_unordered())
    assert sorted(score for _, score, _ in found) == list(range(1000, 1100))
    print("slaves:", *sorted({task for _, _, task in found}))
"""


def test_a_script_spreads_its_tasks_over_four_jobs(scripts: Scripts, tmp_path: Path) -> None:
    code, out, err = finish(scripts.start(README_LIKE))
    assert (code, out, err) == (0, "slaves: 1 2 3 4\n", "")
    assert {path.name for path in tmp_path.iterdir()} == {"script.py"}


@pytest.mark.parametrize(
    ("options", "given", "threads"),
    [("", "granted", "1"), ("-c 2", "granted", "2"), ("-c 2", 5, "5")],
)
def test_a_slave_has_as_many_threads_as_its_job_has_cores_and_the_environment_that_it_is_given(
    slurm: Slurm,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    given: int | str,
    threads: str,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    words = "a 'quoted' $word"
    with Manager() as manager:
        array = SlurmSlaveArray(1, options, threads=given, environment={"WORDS": words})
        manager.add_slave(array)
        context = manager.get_context()
        context.add_task(lambda: (os.environ["OMP_NUM_THREADS"], os.environ["WORDS"]))
        assert list(context.get_results()) == [(threads, words)]


@pytest.mark.parametrize(
    "options", ["--export=NONE", "-J 'my job' --comment='mine: a|b'", "-n 2 -c 2"]
)
def test_options_of_the_users_are_heeded_and_the_array_is_known(slurm: Slurm, options: str) -> None:
    with manager_of(2, options) as manager:
        context = manager.get_context()
        squares(context, 10)
        assert sorted(context.get_results_unordered()) == squared(10)


def test_an_array_that_the_user_has_named_is_deleted_all_the_same(slurm: Slurm) -> None:
    with manager_of(2, "--hold -J 'my job' --comment='mine: a|b'") as manager:
        wait_for(manager, "queued", "queued")
        job = slurm.newest_job()
        assert slurm.run("squeue", "-h", "-j", job, "-o", "%j").strip() == "my job"
        comment = slurm.run("squeue", "-h", "-j", job, "-o", "%k").strip()
        assert comment.startswith("mine: a|b imp_parallel-")
    assert slurm.jobs() == []


def test_a_suspended_slave_is_known_to_be_stopped_and_goes_on(slurm: Slurm) -> None:
    with manager_of(2, kind=Impatient) as manager:
        wait_for(manager, "idle", "idle")
        task = f"{slurm.newest_job()}_1"
        slurm.administer("scontrol", "suspend", task)
        context = manager.get_context()
        squares(context, 20, 0.1)
        assert sorted(context.get_results_unordered()) == squared(20)
        slurm.administer("scontrol", "resume", task)
        wait_for(manager, "idle", "idle")


class Thrifty(Manager):
    surplus_timeout = 1.0


def wait_for_file(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.05)
    return path


def test_jobs_that_wait_in_vain_are_deleted_one_is_kept_for_each_task(
    slurm: Slurm, tmp_path: Path
) -> None:
    slots = SLOTS * len(NODES)
    with manager_of(slots + 6, kind=Thrifty) as manager:
        wait_for(manager, *["idle"] * slots, *["queued"] * 6)
        context = manager.get_context()
        for _ in range(2):
            context.add_task(wait_for_file, "go")
        found: list[str] = []
        results = context.get_results_unordered()
        reader = threading.Thread(target=lambda: found.extend(results))
        reader.start()
        wait_until(lambda: len(slurm.jobs("pending")) == 2, 60.0, "the deletion")
        assert [slave.state for slave in manager.slaves[slots + 2 :]] == ["gone"] * 4
        assert "not needed" in manager.slaves[-1].detail
        (tmp_path / "go").touch()
        reader.join(60.0)
        assert found == ["go"] * 2
