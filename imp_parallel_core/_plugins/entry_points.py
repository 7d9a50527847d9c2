"""Finding the entry points of plugins.

``importlib.metadata`` does this too, but it takes longer to import than all of this package, and
every script would wait for it before its first slave can start. So folders on ``sys.path`` are
read here; if there is anything else that may hold distributions, it is asked after all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import PathFinder
from typing import Any

from .._light_typing import NamedTuple

_SUFFIXES = (".dist-info", ".egg-info")


class EntryPoint(NamedTuple):
    """One entry point: its distribution, the object that it names, and its own name."""

    distribution: str
    value: str
    name: str

    def load(self) -> Any:
        """Return the object that it names. Raises whatever importing that raises."""
        module, _, path = self.value.partition(":")
        thing = import_module(module)
        for attribute in filter(None, path.split(".")):
            thing = getattr(thing, attribute)
        return thing


def find_entry_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group, of each distribution once, in the order of sys.path."""
    if not _has_only_folders():
        try:
            return _ask_importlib(group)
        except Exception as problem:  # one broken distribution must not cost the others
            from logging import getLogger

            text = (
                "only plugins in plain folders are found, since importlib.metadata failed: %s: %s"
            )
            getLogger(__name__).warning(text, type(problem).__name__, problem)
    texts: dict[str, str] = {}
    for folder in sys.path:
        for distribution, text in _read(folder or "."):
            texts.setdefault(distribution, text)
    return [
        EntryPoint(distribution, value, name)
        for distribution, text in texts.items()
        for name, value in _entries(text, group)
    ]


def _has_only_folders() -> bool:
    """Whether distributions can be nowhere but in plain folders."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    files = [entry for entry in sys.path if entry.endswith(".egg") or os.path.isfile(entry)]
    return finders == [PathFinder] and not files


def _ask_importlib(group: str) -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return [
        EntryPoint(
            canonical(found.dist.name) if found.dist else found.name, found.value, found.name
        )
        for found in entry_points(group=group)
    ]


def _read(folder: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each distribution in a folder, and the text of its entry points."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if not name.endswith(_SUFFIXES):
            continue
        try:
            with open(f"{folder}/{name}/entry_points.txt", encoding="utf-8") as file:
                text = file.read()
        except OSError:
            text = ""  # it has none
        yield canonical(name.rpartition(".")[0].partition("-")[0]), text


def canonical(name: str) -> str:
    """Return the one spelling of a distribution's name that is used to compare."""
    words = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join(filter(None, words))


def _entries(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of each entry of a group, without the extras that it may ask for."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == group and not line.startswith(("#", ";")) and "=" in line:
            name, _, value = line.partition("=")
            yield name.strip(), value.partition("[")[0].strip()
