"""What the tests on a real Grid Engine share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_sge import GridEngineBatch

from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.running import started, used_in
from tests.support.cluster_network import LOGIN, ClusterNetwork, cluster_network
from tests.support.grid_engine import Cell, install
from tests.support.packages import need
from tests.support.scripts import Scripts

__all__ = ["cluster_network"]  # a fixture


@pytest.fixture(scope="session")
def cell() -> Iterator[Cell]:
    """Start a Grid Engine for all tests that need one, and end it."""
    need("on Grid Engine", install)
    with started(Cell()) as made:
        yield made


@pytest.fixture
def cluster(cell: Cell, tmp_path: Path) -> Iterator[Cell]:
    """Have the test run on a submit host; what it leaves there is its failure."""
    with used_in(tmp_path, cell):
        yield cell


@pytest.fixture
def batch(cluster: Cell) -> BatchCluster:
    """Have a test of all batch systems run on Grid Engine."""
    return GridEngineBatch(cluster)


@pytest.fixture
def scripts(cluster: Cell, tmp_path: Path) -> Iterator[Scripts]:
    """Start scripts as a person would, and end those that still run."""
    with Scripts(cluster.environment, tmp_path) as made:
        yield made


@pytest.fixture
def on_login_node(cluster_network: ClusterNetwork, tmp_path: Path) -> Iterator[Scripts]:
    """Start scripts on the login node of the cluster that has a network of its own."""
    cell = cluster_network.cell
    prefix = cluster_network.network.inside(LOGIN)
    with cell.in_use(), Scripts(cell.environment, tmp_path, prefix) as made:
        yield made
