"""What a context's tasks need that no module on the slave holds: the runner's side.

See :mod:`._definitions` for what a bundle holds.
"""

from __future__ import annotations

import builtins
import importlib
import pickle
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ._references import resolving

if TYPE_CHECKING:
    from ._protocol import Buffer


class LoadedDefinitions:
    """The definitions of one context in this runner, and the globals that its code shares."""

    def __init__(self) -> None:
        self._definitions: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}  # by id, for results that go home
        self._namespaces: dict[int, dict[str, Any]] = {}
        self._versions: dict[tuple[int, str], list[tuple[int, Any]]] = {}  # (bundle, value)
        self._rebound: dict[tuple[int, str], int] = {}  # of several values, the bundle of today's

    def definition(self, number: int) -> Any:
        """Return the function, class or code object of that number."""
        return self._definitions[number]

    def number_of(self, thing: Any) -> int | None:
        """Return the number of an object, if it is a definition."""
        return self._numbers.get(id(thing))

    def namespace(self, number: int) -> dict[str, Any]:
        """Return the dict that the functions of one module share as their globals."""
        namespace = self._namespaces.get(number)
        if namespace is None:
            namespace = self._namespaces[number] = {"__builtins__": builtins}
        return namespace

    def load(self, bundle: int, segments: Sequence[Buffer]) -> None:
        """Load a bundle. Raises whatever its code raises when it is imported or rebuilt."""
        unpickler = pickle.Unpickler(BytesIO(segments[0]), buffers=segments[1:])
        with resolving(self):
            while (entry := unpickler.load()) is not None:
                match entry:
                    case ("define", number, thing):
                        self._definitions[number] = thing
                        self._numbers[id(thing)] = number
                    case ("bind", number, name, value):
                        self._bind(bundle, number, name, value)
                    case ("namespace", number, attributes):
                        self.namespace(number).update(attributes)
                    case ("import", name):
                        importlib.import_module(name)

    def _bind(self, bundle: int, number: int, name: str, value: Any) -> None:
        versions = self._versions.setdefault((number, name), [])
        if not versions:
            # what a set-up has put there stays
            self.namespace(number).setdefault(name, value)
        else:
            self._rebound.setdefault((number, name), versions[0][0])
        versions.append((bundle, value))

    def activate(self, bundle: int) -> None:
        """Give globals that have had several values the one that a task of that bundle expects."""
        for key, current in self._rebound.items():
            versions = self._versions[key]
            wanted, value = next((v for v in reversed(versions) if v[0] <= bundle), versions[0])
            if wanted != current:
                number, name = key
                self._rebound[key] = wanted
                self.namespace(number)[name] = value
