"""The path that the master imports from, and its changes, which slaves have to follow.

A slave is started with the ``sys.path`` that the master has then. Later changes, of the list or of
the current folder (which an entry may stand for), travel in a bundle, before the tasks that are
added after them.
"""

from __future__ import annotations

import os
import sys

from .._light_typing import NamedTuple


class PathChange(NamedTuple):
    """A change of the path, as :func:`.._code.references.change_path` takes it."""

    path: list[str]
    new: list[str]
    old: list[str]
    facts: dict[str, list[int]]
    cwd: str


def absolute_path() -> list[str]:
    """Return ``sys.path`` as it is for other processes too."""
    return [_absolute(entry) for entry in _entries()]


class ImportPath:
    """Follows the changes of the path, for one context.

    Args:
        told: the path that slaves have been started with.
    """

    def __init__(self, told: list[str]) -> None:
        self._told = told
        self._seen: list[str] = []
        self._folder: str | None = None  # the current one, if it is on the path

    def is_unchanged(self) -> bool:
        """Whether nothing has changed since the last :meth:`change`; asked for every task."""
        if sys.path != self._seen:
            return False
        return self._folder is None or self._folder == _current_folder()

    def change(self) -> PathChange | None:
        """Return how the path differs from what it was at the last call, if it does so."""
        self._seen = sys.path.copy()
        self._folder = None if all(map(os.path.isabs, _entries())) else _current_folder()
        before, self._told = self._told, absolute_path()
        new = [entry for entry in self._told if entry not in before]
        old = [entry for entry in before if entry not in self._told]
        if not (new or old):
            return None
        from .._code.same_files import facts_of  # most scripts never change the path

        cwd = _current_folder()
        return PathChange(self._told, new, old, facts_of(new, cwd), cwd)


def _entries() -> list[str]:
    return [entry for entry in sys.path if isinstance(entry, str)]  # no import uses another


def _absolute(entry: str) -> str:
    try:
        return os.path.abspath(entry)
    except OSError:  # the current folder has been removed
        return entry


def _current_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
