"""A subcommand of the command ``imp-parallel``, which plugins may bring, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import argparse


class Subcommand(Protocol):
    """What the hook ``imp_parallel_commands`` returns a list of.

    ``imp-parallel`` calls these methods only if the user has chosen this subcommand. So a module
    that takes long to import is best imported in :meth:`run`.
    """

    @property
    def name(self) -> str:
        """What the user types behind ``imp-parallel``: small letters, digits and hyphens."""

    @property
    def help(self) -> str:
        """One line that says what it does, for the list that ``imp-parallel --help`` prints."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the subcommand's arguments to its own parser, and a description, if there is one."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do what the arguments say; return the exit code.

        An Error or OSError that it raises is printed, without a traceback, and the exit code is 1.
        """
