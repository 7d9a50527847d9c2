"""Plugins that are installed for one test, without pip: distributions in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from imp_parallel_core._plugins import registry as _plugins
from imp_parallel_core._plugins.found import find_plugins


class Registry(ModuleType):
    """A module of plugins; to get one that is an exception raises it."""

    def __init__(self, plugins: dict[str, object]) -> None:
        super().__init__("registry_of_plugins")
        self._plugins = plugins

    def __getattr__(self, name: str) -> object:
        plugin = self._plugins[name]
        if isinstance(plugin, BaseException):
            raise plugin
        return plugin


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that installs plugins: distributions in a folder on ``sys.path``."""

    def install_all(**plugins: object) -> None:
        monkeypatch.setitem(sys.modules, "registry_of_plugins", Registry(plugins))
        for name in plugins:
            folder = tmp_path / "site" / f"dist_{name}-1.0.dist-info"
            folder.mkdir(parents=True)
            (folder / "METADATA").write_text(f"Name: dist-{name}\nVersion: 1.0\n")
            (folder / "entry_points.txt").write_text(
                f"[imp_parallel]\n{name} = registry_of_plugins:{name}\n"
            )
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        _plugins.warn.cache_clear()
        find_plugins.cache_clear()

    yield install_all
    monkeypatch.undo()
    find_plugins.cache_clear()
