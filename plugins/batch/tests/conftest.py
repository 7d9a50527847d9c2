"""What the tests of the kit share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from harness_batch import EXAMPLE
from made_up_host import MadeUpHost


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
