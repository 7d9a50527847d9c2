"""What the tests of the joblib backend share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager
from tests.support.harness import Processes, processes
from tests.support.scripts import Scripts

__all__ = ["processes"]  # a fixture


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def manager() -> Iterator[Manager]:
    """Yield a Manager without slaves, and close it."""
    with Manager() as made:
        yield made


@pytest.fixture
def two_slaves(manager: Manager) -> Iterator[Manager]:
    """Yield a Manager with two local slaves, which joblib uses."""
    for _ in range(2):
        manager.add_slave(LocalSlave())
    with joblib.parallel_config("imp_parallel", manager=manager):
        yield manager


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    """Start scripts as a person would, and end those that still run."""
    with Scripts({}, tmp_path) as made:
        yield made
