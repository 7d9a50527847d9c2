"""What the tests on a real Dask cluster share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness_dask import DaskHome

from tests.support.scripts import Scripts
from tests.support.sent_suite.home import Home

if TYPE_CHECKING:
    from distributed import Client, LocalCluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Start a scheduler and two workers of one thread each, on the loopback interface."""
    folder = tmp_path_factory.mktemp("dask")
    variables = {*os.environ}
    with pytest.MonkeyPatch.context() as environment:
        # Dask writes a file of settings when it is imported
        environment.setenv("DASK_CONFIG", str(folder / "config"))
        environment.setenv("DASK_TEMPORARY_DIRECTORY", str(folder))
        from distributed import LocalCluster

        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as made:
            yield made
    # Dask adds some, such as OMP_NUM_THREADS; pytest has one of its own
    for name in {*os.environ} - variables - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]


@pytest.fixture
def client(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """Connect to the cluster when both workers are there; nothing may be left on it."""
    from distributed import Client

    monkeypatch.chdir(tmp_path)
    with Client(cluster) as made:
        made.wait_for_workers(2, timeout=60)
        yield made
        DaskHome(made).wait_until_empty()


@pytest.fixture
def home(client: Client) -> Home:
    """Have a test of all systems that run functions run on Dask."""
    return DaskHome(client)


@pytest.fixture
def scripts(client: Client, tmp_path: Path) -> Iterator[Scripts]:
    """Start scripts as a person would, and end those that still run."""
    with Scripts({}, tmp_path) as made:
        yield made
