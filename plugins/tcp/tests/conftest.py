"""What the tests of the transport share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imp_parallel_core import Manager
from tests.support import file_launcher
from tests.support.harness import Processes, processes
from tests.support.networks import Network, install
from tests.support.packages import need
from tests.support.traced import traced_slaves

__all__ = ["processes", "traced_slaves"]  # fixtures


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def manager(processes: Processes) -> Iterator[Manager]:
    """Yield a Manager whose slaves dial it on this machine."""
    with Manager(host="localhost", plugins=[file_launcher]) as made:
        yield made


@pytest.fixture
def network(processes: Processes) -> Iterator[Network]:
    """Yield a network of hosts that exist for this test only."""
    need("on a network", install)
    with Network() as made:
        yield made
