"""A global that had several values while tasks were added: each task sees the value of its time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from .._light_typing import Any

MISSING = object()
"""The value of a global that is not there."""


class GlobalVersions:
    """The values of one global, by the bundle that brought each.

    Args:
        namespace: the globals that hold it.
        name: its name.
    """

    def __init__(self, namespace: dict[str, Any], name: str) -> None:
        self._namespace = namespace
        self._name = name
        self._values: dict[int, Any] = {0: MISSING}  # by bundle
        self._bundles = [0]  # the keys of _values, in order
        self._current = 0  # the bundle whose value is in the namespace

    @property
    def current(self) -> int:
        """The bundle whose value is in the namespace."""
        return self._current

    def before(self, bundle: int) -> Any:
        """Return the value that tasks before that bundle see, which is not the current one."""
        return self._values[self._bundles[bisect_left(self._bundles, bundle) - 1]]

    def add(self, bundle: int, value: Any) -> None:
        """Add a value, which tasks of that bundle and of later ones see."""
        if bundle not in self._values:
            insort(self._bundles, bundle)
        self._values[bundle] = value
        if bundle == self._current:  # the bundle is loaded again
            self._put(value)

    def activate(self, bundle: int) -> None:
        """Give the global the value that a task of that bundle expects."""
        wanted = self._bundles[bisect_right(self._bundles, bundle) - 1]
        if wanted == self._current:
            return
        # keep a value that a set-up or a task has set, for the next task of that time
        self._values[self._current] = self._namespace.pop(self._name, MISSING)
        self._current = wanted
        self._put(self._values[wanted])

    def _put(self, value: Any) -> None:
        if value is MISSING:
            self._namespace.pop(self._name, None)
        else:
            self._namespace[self._name] = value
