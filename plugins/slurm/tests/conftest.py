"""What the tests on a real Slurm share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_slurm import Log, SlurmBatch

from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.running import started, used_in
from tests.support.packages import need
from tests.support.scripts import Scripts
from tests.support.slurm import Slurm, install


@pytest.fixture(scope="session")
def running_slurm() -> Iterator[Slurm]:
    """Start a Slurm for all tests that need one, and end it."""
    need("on Slurm", install)
    with started(Slurm()) as made:
        yield made


@pytest.fixture
def slurm(running_slurm: Slurm, tmp_path: Path) -> Iterator[Slurm]:
    """Have the test run where jobs are submitted; what it leaves there is its failure."""
    with used_in(tmp_path, running_slurm):
        yield running_slurm


@pytest.fixture
def batch(slurm: Slurm) -> BatchCluster:
    """Have a test of all batch systems run on Slurm."""
    return SlurmBatch(slurm)


@pytest.fixture
def scripts(slurm: Slurm, tmp_path: Path) -> Iterator[Scripts]:
    """Start scripts as a person would, and end those that still run."""
    with Scripts(slurm.environment, tmp_path) as made:
        yield made


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Have tasks note that they were run, and where."""
    return Log(tmp_path / "log")
