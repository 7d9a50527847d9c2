"""What has been sent in the bundles of one context, and of what bundles consist.

A step stands in a pickle as an object, and is a call of a function of :mod:`.._code.references`
when the pickle is loaded. See :mod:`.book` for the steps that there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from .._light_typing import NamedTuple
from .._wire.shared_memory import SharedBytes
from .snapshot import Snapshot

Segments = tuple[bytes | SharedBytes, ...]

Key = tuple[int, str]
"""A global: the number of its namespace, and its name."""


class Definition(NamedTuple):
    """A function, class or code object that is in a bundle."""

    number: int
    object: Any
    snapshot: Snapshot
    group: list[Definition]  # all that were met in the same scope, itself included


class Binding(NamedTuple):
    """The value of a global, as it was sent."""

    module: dict[str, Any]
    value: Any
    group: list[Definition]  # all that were met in it


class Step:
    """Stands in a pickle for something that is done when the pickle is loaded."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._function, self._arguments


class LateStep:
    """Stands in a pickle for a step that is chosen when the pickler comes to it.

    Args:
        reduce: returns the reduction, such as ``(function, arguments)``.
    """

    __slots__ = ("_reduce",)

    def __init__(self, reduce: Callable[[], tuple[Any, ...]]) -> None:
        self._reduce = reduce

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduce()


class Sent:
    """The definitions and globals that the bundles of one context have brought to its slaves."""

    def __init__(self) -> None:
        self.bundles: list[Segments] = []
        """Bundle ``n`` is ``bundles[n - 1]``; a task that needs none says 0."""
        self.definitions: dict[int, Definition] = {}  # the latest, by the id of its object
        self.bindings: dict[Key, Binding] = {}  # the latest
        self.described: set[int] = set()  # namespaces whose attributes are sent
        self.imported: set[str] = set()  # submodules
        self._numbers = itertools.count()
        self._objects: dict[int, Any] = {}  # by number; holds each, so that ids stay true
        self._namespaces: list[dict[str, Any]] = []
        self._namespace_numbers: dict[int, int] = {}  # by id

    def number(self, thing: Any = None) -> int:
        """Return the number of one more definition; hold its object, if it is given."""
        number = next(self._numbers)
        if thing is not None:
            self._objects[number] = thing
        return number

    def add_bundle(self, bundle: Segments, found: dict[int, Definition]) -> bool:
        """Take in a bundle, and what it defines; return whether anything was defined before."""
        is_anew = not found.keys().isdisjoint(self.definitions)
        self.bundles.append(bundle)
        self.definitions.update(found)
        self._objects.update((one.number, one.object) for one in found.values())
        return is_anew

    def add_bindings(self, bound: dict[Key, Binding]) -> bool:
        """Take in the values of globals; return whether any had another one before."""
        is_anew = any(self.bindings.get(key, new) is not new for key, new in bound.items())
        self.bindings.update(bound)
        return is_anew

    def definition(self, number: int) -> Any:
        """Return the original object of that number."""
        return self._objects[number]

    def namespace(self, number: int) -> dict[str, Any]:
        """Return the globals of that number."""
        return self._namespaces[number]

    def namespace_number(self, namespace: dict[str, Any]) -> int:
        """Return the number of a module's globals."""
        number = self._namespace_numbers.get(id(namespace))
        if number is None:
            number = self._namespace_numbers[id(namespace)] = len(self._namespaces)
            self._namespaces.append(namespace)
        return number
