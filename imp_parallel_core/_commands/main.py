"""Finds the subcommand that the user has chosen, and runs it."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .._errors import Error
from .._plugins.registry import Plugins
from .._printable import printable, printable_lines
from .brought import BroughtSubcommand, find_subcommands
from .check import Check
from .explain import Explain
from .plugins import ListPlugins
from .rerun import Rerun

if TYPE_CHECKING:
    from .._plugins.subcommand import Subcommand

PROGRAM = "imp-parallel"
_NAMES = ["check", "explain", "plugins", "rerun"]
_OURS: Sequence[Subcommand] = [Check(), Explain(), ListPlugins(_NAMES), Rerun()]
_INTERRUPTED = 130  # what a shell returns for a program that Ctrl-C has ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say (by default those of the command line); return the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if sys.stdout is None:  # it was closed, as by >&- in a shell; nobody wants to see anything
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for the rest of the process
    chosen = next((word for word in words if not word.startswith("-")), "")
    commands = {command.name: BroughtSubcommand("", command) for command in _OURS}
    if chosen not in commands:  # else no plugin need be loaded
        commands |= find_subcommands(Plugins(), list(commands))
    try:
        return _run(commands, chosen, words)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the output went to a program that has ended, such as head
        _drop_unwritten_output()
        return 1


def _drop_unwritten_output() -> None:
    """Keep Python from trying once more, at its end, to write what the output does not take."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(commands: Mapping[str, BroughtSubcommand], chosen: str, words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Tools for scripts that use imp_parallel_core."
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    parsers = {
        name: subparsers.add_parser(name, help=_escaped(brought.command.help))
        for name, brought in commands.items()
    }
    if chosen not in commands:
        parser.parse_args(words)  # which prints help, or says what there is
        return 2
    label, command = commands[chosen]
    try:
        command.add_arguments(parsers[chosen])
        exit_code = command.run(parser.parse_args(words))
        sys.stdout.flush()
    except (Error, OSError) as problem:
        if isinstance(problem, BrokenPipeError):
            raise
        print(f"{PROGRAM}: {printable_lines(str(problem))}", file=sys.stderr)
        if isinstance(problem, OSError):  # the output may be on a disk that is full
            _drop_unwritten_output()
        return 1
    except Exception:
        if not label:
            raise
        traceback.print_exc()
        print(f"{PROGRAM}: the command {chosen} of the plugin {label} failed", file=sys.stderr)
        return 1
    return exit_code


def _escaped(text: str) -> str:
    """Return a line of help as argparse wants it."""
    return printable(text).replace("%", "%%")
