"""``imp-parallel explain``: what an error or a warning means, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from .._errors import Error
from .._printable import printable, printable_lines

if TYPE_CHECKING:
    import argparse

    from .explanations import Found

_WIDTH = 96  # at most: longer lines are hard to read
_FROM_INPUT = "-"
_CORE = "imp-parallel-core"
_PAGE = "troubleshooting.html"
_QUOTED = 60  # characters of what nobody knows


class Explain:
    """The subcommand ``explain``."""

    name = "explain"
    help = "say what an error or a warning means, and what to do"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.description = (
            "Say what an error or a warning of imp-parallel means, and what to do. The last line "
            "of a message names the key to give; the message itself, or a part of it, will do as "
            "well. Without an argument, list all keys."
        )
        parser.add_argument(
            "words",
            nargs="*",
            metavar="KEY",
            help="a key; or words of a message, in quotation marks; or - to read a message from "
            "the standard input",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Print the sections that are meant. Raises Error if there is none."""
        from .._plugins.registry import Plugins
        from .explanations import find_explanations

        found = find_explanations(Plugins())
        words = arguments.words
        if words == [_FROM_INPUT]:
            words = [sys.stdin.read()]
        if not words:
            print(*_list(found), sep="\n")
        else:
            print("\n\n\n".join(_shown(each) for each in _meant(" ".join(words), found)))
        return 0


def _meant(said: str, found: Mapping[str, Found]) -> list[Found]:
    from .matching import matching, near

    explanations = [each.explanation for each in found.values()]
    meant = matching(said, explanations, _keys_of_classes())
    if not meant:
        quoted = said if len(said) <= _QUOTED else f"{said[:_QUOTED]}…"
        alike = ", ".join(each.key for each in near(said, explanations))
        advice = f"Near to it: {alike}." if alike else "Without an argument, it lists all keys."
        raise Error(f"there is no explanation of {quoted!r}. {advice}")
    return [found[each.key] for each in meant]


def _keys_of_classes() -> Mapping[str, Sequence[str]]:
    """Return the keys of the sections that explain each error of a class, by the class's name."""
    from .. import _cancelled_error, _errors, _task_errors

    names = {**vars(_errors), **vars(_task_errors), **vars(_cancelled_error)}
    kinds = [kind for kind in names.values() if isinstance(kind, type)]
    keys = {kind.__name__: kind._explained_by for kind in kinds if issubclass(kind, Error)}
    return {**keys, _errors.UnreadResultsWarning.__name__: ("unread-results",)}


def _list(found: Mapping[str, Found]) -> Iterator[str]:
    longest = max(map(len, found))
    for key, (explanation, label) in found.items():
        whose = f"  ({label})" if label else ""
        yield f"{key:<{longest}}  {printable(explanation.words)}{whose}"


def _shown(found: Found) -> str:
    import shutil

    from .plain_text import plain_text

    explanation, label = found
    width = min(_WIDTH, shutil.get_terminal_size().columns)
    parts = [f"{explanation.key}: {explanation.words}", plain_text(explanation.text, width)]
    if address := _address(label):
        parts.append(f"On the site: {address}#{explanation.key}")
    return printable_lines("\n\n".join(parts))


def _address(label: str) -> str:
    """Return the address of the page that has a plugin's sections; "" if there is none."""
    core = _documentation(_CORE)
    if not core or (label and _documentation(label.partition(" ")[0]) != core):
        return ""
    return f"{core.rstrip('/')}/{_PAGE}"


def _documentation(distribution: str) -> str:
    """Return the address of a distribution's documentation, as its metadata has it, or ""."""
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        addresses = metadata(distribution).get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    pairs = (text.partition(", ") for text in addresses)
    return next((address for name, _, address in pairs if name == "Documentation"), "")
