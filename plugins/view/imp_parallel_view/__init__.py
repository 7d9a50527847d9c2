"""Shows people what a run does: while it runs, and afterwards.

Every script loads this package where it is installed, also one that shows nothing. So the classes,
and what they need, are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._progress_bar import ProgressBar

_MODULES = {"ProgressBar": "_progress_bar"}

__all__ = ["ProgressBar"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
