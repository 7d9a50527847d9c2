"""``imp-parallel plugins``: what is installed, what each plugin brings, and what is broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._printable import printable, printable_lines

if TYPE_CHECKING:
    import argparse

    from .inventory import Brought, Inventory

_ROW = "    {:<12}{}"


class ListPlugins:
    """The subcommand ``plugins``.

    Args:
        commands: the names of the core's own subcommands.
    """

    name = "plugins"
    help = "list the plugins that are installed, and what each brings"

    def __init__(self, commands: list[str]) -> None:
        self._commands = commands

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.description = (
            "List the plugins that are installed, with their versions and what each brings, and "
            "those that are broken or left out, with the reasons. The exit code is 1 if one is "
            "broken."
        )
        parser.add_argument("--json", action="store_true", help="print the list as JSON")

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the list; return 1 if anything in it is broken."""
        from .inventory import as_data, take_inventory  # which takes long to import

        inventory = take_inventory(self._commands)
        if arguments.json:
            import json

            print(json.dumps(as_data(inventory), indent=2))
        else:
            print(*_lines(inventory), sep="\n")
        has_problems = any(brought.problems for brought in inventory.plugins)
        return 1 if inventory.broken or has_problems else 0


def _lines(inventory: Inventory) -> Iterator[str]:
    (core, number), *others = inventory.versions.items()
    yield f"{core} {number}"
    yield _ROW.format("commands", ", ".join(inventory.commands))
    yield _ROW.format("runs on", ", ".join(f"{name} {number}" for name, number in others))
    for brought in inventory.plugins:
        yield _title(brought)
        rows = {
            "slaves": brought.slaves,
            "hosts": brought.hosts,
            "transports": brought.transports,
            "commands": brought.commands,
            "explains": brought.explanations,
            "observers": brought.observers,
        }
        for what, names in rows.items():
            if names:
                yield _ROW.format(what, ", ".join(names))
        if "imp_parallel_transport" in brought.hooks and not brought.transports:
            yield _ROW.format("transports", "none that an installed slave class uses")
        if "imp_parallel_observe" in brought.hooks:
            yield _ROW.format("observes", "the events of each Manager")
        for problem in brought.problems:
            yield _ROW.format("BROKEN", _indented(problem))
    for brought in inventory.broken:
        yield _title(brought)
        yield _ROW.format("BROKEN", _indented(brought.problem))
    for brought in inventory.disabled:
        yield _title(brought)
        yield _ROW.format("disabled", _indented(brought.problem))
    if not (inventory.plugins or inventory.broken or inventory.disabled):
        yield 'no plugin is installed: pip install "imp-parallel-core[local]" brings LocalSlave'


def _title(brought: Brought) -> str:
    label, is_one_of_several, name = brought.plugin.partition(" ")
    words = [label, brought.version or "(of unknown version)"]
    return printable(" ".join([*words, name] if is_one_of_several else words))


def _indented(text: str) -> str:
    return printable_lines(text).replace("\n", "\n" + _ROW.format("", ""))
