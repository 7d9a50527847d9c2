"""Importing paramiko, without waiting for a package that it needs for ``Match exec`` only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

_SELDOM_USED = "invoke"  # takes 70 ms to import, a third of the whole


class _LaterFinder:
    """Has one package loaded when it is first used."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _SELDOM_USED else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def load_paramiko() -> None:
    """Import paramiko; whatever else is being imported finds its modules as ever."""
    if "paramiko" in sys.modules:
        return
    sys.meta_path.insert(0, _LaterFinder)
    try:
        import paramiko  # noqa: F401 - for others to find it imported
    finally:
        sys.meta_path.remove(_LaterFinder)
