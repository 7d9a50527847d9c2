"""The plugin: brings the transport when the first slave needs it."""

from __future__ import annotations

from imp_parallel_core import Transport, hookimpl


@hookimpl
def imp_parallel_transport(name: str) -> Transport | None:
    """Return a new transport, if it is this one that is meant."""
    if name != "tcp":
        return None
    from ._transport import TcpTransport

    return TcpTransport()


@hookimpl
def imp_parallel_explanations() -> str:
    """Return what explains the errors and warnings of this plugin."""
    from pathlib import Path

    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")
