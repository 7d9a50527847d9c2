"""The subcommands that plugins bring. One that can't be used is told, and costs no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._light_typing import NamedTuple
from .._plugins.contract import shown, why_no_subcommand
from .._plugins.registry import Plugins, warn, warn_of_several

if TYPE_CHECKING:
    from .._plugins.found import Plugin
    from .._plugins.subcommand import Subcommand


class BroughtSubcommand(NamedTuple):
    """A subcommand, and what messages call the plugin that brings it; "" for the core."""

    label: str
    command: Subcommand


def find_subcommands(plugins: Plugins, reserved: Sequence[str]) -> dict[str, BroughtSubcommand]:
    """Return all subcommands of ``imp-parallel`` that plugins bring, by name.

    If several plugins bring one of a name, a warning names them, and says which one is used.

    Args:
        plugins: whom to ask.
        reserved: the names of the core's own.
    """
    brought: dict[str, list[tuple[Plugin, Subcommand]]] = {}
    for answer in plugins.ask("imp_parallel_commands"):
        label = answer.found.label
        if not isinstance(answer.value, Sequence):
            if not answer.problem:
                warn(f"plugin {label}: its commands are no list: {shown(answer.value)}")
            continue
        for command in answer.value:
            if why := why_no_subcommand(command, reserved):
                warn(f"plugin {label}: its command {shown(command)} can't be used: {why}")
            else:
                brought.setdefault(command.name, []).append((answer.found, command))
    for name, those in brought.items():
        warn_of_several(f"a command {name}", [found for found, _ in those])
    return {
        name: BroughtSubcommand(found.label, command)
        for name, ((found, command), *_) in brought.items()
    }
