"""What the tests of the kit share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from harness_batch import EXAMPLE
from lonely_host import NOBODY
from made_up_host import MadeUpHost

from tests.support.harness import processes

__all__ = ["processes"]


@pytest.fixture(scope="session")
def plugin() -> ModuleType:
    """Return the plugin that the documents show."""
    spec = importlib.util.spec_from_file_location("queue_launcher", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def host(tmp_path: Path, plugin: ModuleType) -> MadeUpHost:
    """Return a host whose queue the example of the documents knows."""
    return MadeUpHost(tmp_path, plugin.Queue())


@pytest.fixture
def lonely(host: MadeUpHost, monkeypatch: pytest.MonkeyPatch) -> MadeUpHost:
    """Return a host that does not reach its batch system, in whose queue nothing is.

    It is tried again soon.
    """
    monkeypatch.setattr("imp_parallel_batch._pending_launch._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("imp_parallel_batch._pending_launch._LAST_PAUSE_S", 0.02)
    host.submitted = NOBODY
    host.lines = []
    return host
