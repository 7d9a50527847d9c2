"""The hooks that a plugin may implement; docs/plugins.md tells how.

A plugin is a module (or object) with functions of these names, each marked with :data:`hookimpl`;
it is found through the entry point group ``imp_parallel``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .._wire.stream import Accept
    from .bootstrap import Bootstrap
    from .events import Event
    from .launch import Launch
    from .slaves import Slave
    from .subcommand import Subcommand
    from .transport import Transport

PROJECT = "imp_parallel"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    """Start these slaves, one for each bootstrap, and return their Launch; None: not mine.

    Called in a thread of its own, for each ``add_slave`` and each relaunch. An exception becomes
    the reason why the slaves did not start: a LaunchError with evidence is best.

    A launch that makes the slaves' streams itself, rather than leave it to a transport, gives each
    to ``accept``, with the slave's index, as soon as it is there: during this call or later, from
    any thread; and another when one that is ``resumable`` has ended. A stream that comes after the
    end of the launch is closed.
    """


@hookspec(firstresult=True)
def imp_parallel_transport(name: str) -> Transport | None:
    """Return a new transport of that name; None: not mine. Called once for each Manager."""


@hookspec
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Return the slave classes that this plugin brings, and those of hosts for ``via``, by name.

    For error messages, for ``from imp_parallel_core import LocalSlave``, and for ``imp-parallel
    check``, which knows the names that plugins bring.
    """
    raise NotImplementedError


@hookspec
def imp_parallel_observe(events: Sequence[Event]) -> None:
    """Take note of events, in order.

    Called in a thread of its own, five times in a second at most, and never at the same time twice;
    for the last time while the Manager is closed. An observer that raises is reported
    once and not called again. An observer that is slow misses events, and is told how many; other
    observers do not notice.
    """


@hookspec
def imp_parallel_explanations() -> str:
    """Return sections, in Markdown, that explain the errors and warnings of this plugin.

    Each begins with its key and its heading, ``(my-error)=`` and ``### words of the message``. The
    messages name it by :func:`~imp_parallel_core.explained`. Called by ``imp-parallel explain``.
    """
    raise NotImplementedError


@hookspec
def imp_parallel_commands() -> Sequence[Subcommand]:
    """Return the subcommands that this plugin brings to the command ``imp-parallel``.

    Called when the user has chosen a subcommand that is not the core's, or has asked for the list.
    """
    raise NotImplementedError
