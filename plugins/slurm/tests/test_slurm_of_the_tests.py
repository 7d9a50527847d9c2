"""The Slurm that the tests start has two nodes, and can lose any of its daemons."""

from __future__ import annotations

import pytest

from tests.support.slurm import NODES, SLOTS, Slurm
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def submit(slurm: Slurm, *options: str) -> None:
    slurm.run("sbatch", "--output=/dev/null", *options, "--wrap=exec sleep 600")


def test_jobs_of_an_ordinary_user_run_on_both_nodes(slurm: Slurm) -> None:
    submit(slurm, f"--array=1-{2 * SLOTS}")
    wait_until(lambda: len(slurm.jobs("running")) == 2 * SLOTS, what="all of them")
    wait_until(lambda: all(map(slurm.processes, NODES)), what="their processes")
    slurm.run("scancel", "--me")


def test_slurm_goes_on_when_each_of_its_daemons_has_been_away(slurm: Slurm) -> None:
    submit(slurm, "--array=1-2", "--no-requeue", f"--nodelist={NODES[0]}")
    wait_until(lambda: len(slurm.processes(NODES[0])) >= 2, what="both")
    slurm.stop_controller()
    assert slurm.try_run("sbatch", "--wrap=true").returncode == 1
    slurm.start_controller()
    assert len(slurm.jobs("running")) == 2
    slurm.stop_node(NODES[0])
    assert not slurm.processes(NODES[0])
    slurm.start_node(NODES[0])
    slurm.run("scancel", "--me")
