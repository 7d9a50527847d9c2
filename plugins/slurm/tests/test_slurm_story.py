"""Slaves that are jobs on a real Slurm do what others do."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness_slurm import Impatient, manager_of

from tests.support.batch_suite.slaves import (
    Thrifty,
    read_meanwhile,
    squared,
    squares,
    wait_for,
    wait_for_file,
)
from tests.support.slurm import NODES, SLOTS, Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


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


def test_jobs_that_wait_in_vain_are_deleted_one_is_kept_for_each_task(
    slurm: Slurm, tmp_path: Path
) -> None:
    slots = SLOTS * len(NODES)
    with manager_of(slots + 6, kind=Thrifty) as manager:
        wait_for(manager, *["idle"] * slots, *["queued"] * 6)
        context = manager.get_context()
        for _ in range(2):
            context.add_task(wait_for_file, "go")
        reader, found = read_meanwhile(context)
        wait_until(lambda: len(slurm.jobs("pending")) == 2, 60.0, "the deletion")
        assert [slave.state for slave in manager.slaves[slots + 2 :]] == ["gone"] * 4
        assert "not needed" in manager.slaves[-1].detail
        (tmp_path / "go").touch()
        reader.join(60.0)
        assert found == ["go"] * 2
