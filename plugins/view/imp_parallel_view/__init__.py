"""Shows people what a run does: while it runs, and afterwards.

Every script loads this package where it is installed, also one that shows nothing. So the classes,
and what they need, are imported when they are first used.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from imp_parallel_core import hookimpl

if TYPE_CHECKING:
    from imp_parallel_core import Subcommand

    from ._live.plugin import Live
    from ._progress_bar import ProgressBar
    from ._reading import RecordError, RecordReader
    from ._record import Record

_MODULES = {
    "Live": "_live.plugin",
    "ProgressBar": "_progress_bar",
    "Record": "_record",
    "RecordError": "_reading",
    "RecordReader": "_reading",
}

__all__ = ["Live", "ProgressBar", "Record", "RecordError", "RecordReader"]


@hookimpl
def imp_parallel_commands() -> Sequence[Subcommand]:
    """Bring the subcommands of this plugin."""
    from ._live.command import Top
    from ._report.command import Report

    return [Report(), Top()]


@hookimpl
def imp_parallel_explanations() -> str:
    """Return what explains the errors of this plugin."""
    from pathlib import Path

    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # pluggy looks for hooks here
