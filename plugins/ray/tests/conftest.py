"""What the tests on a real Ray cluster share."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_ray import RayHome

from tests.support.scripts import Scripts
from tests.support.sent_suite.home import Home


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Start a Ray with two CPUs on this machine, and join it; return its address."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the paths of its sockets must be short
    variables = {*os.environ}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN_PATH", f"{folder}/token")
        Path(folder, "token").write_text(secrets.token_hex(32))
        environment.setattr("builtins.print", print)  # Ray puts one of its own there
        import ray

        try:
            for attempt in range(3):
                try:
                    ray.init(
                        num_cpus=2,
                        object_store_memory=80 << 20,  # the least that it takes
                        include_dashboard=False,
                        log_to_driver=False,
                        _temp_dir=folder,
                    )
                    break
                except Exception:  # Ray gives itself 30 s, which may not do on a busy machine
                    ray.shutdown()
                    if attempt == 2:
                        raise
            yield ray.get_runtime_context().gcs_address
        finally:
            ray.shutdown()
            shutil.rmtree(folder)
    # Ray adds some, such as OMP_NUM_THREADS; pytest has one of its own
    for name in {*os.environ} - variables - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]


@pytest.fixture
def cluster(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Work in a folder of one's own; return the cluster's address."""
    monkeypatch.chdir(tmp_path)
    return address


@pytest.fixture
def home(cluster: str) -> Home:
    """Have a test of all systems that run functions run on Ray."""
    return RayHome(cluster)


@pytest.fixture
def scripts(cluster: str, tmp_path: Path) -> Iterator[Scripts]:
    """Start scripts as a person would, and end those that still run."""
    with Scripts({}, tmp_path) as made:
        yield made
