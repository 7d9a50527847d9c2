"""The hook of the kit, whose messages need explanations, whatever batch system they are about."""

from __future__ import annotations

from imp_parallel_core import hookimpl


@hookimpl
def imp_parallel_explanations() -> str:
    """Return what explains the errors and warnings of this plugin."""
    from pathlib import Path

    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")
