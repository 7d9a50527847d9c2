"""What a context's tasks need that no module on the slave holds: the runner's side.

See :mod:`._definitions` for what a bundle holds.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import pickle
from bisect import bisect_right, insort
from collections.abc import Sequence
from io import BytesIO

from ._light_typing import TYPE_CHECKING, Any
from ._references import resolving

if TYPE_CHECKING:
    from ._pickling import Reducer
    from ._protocol import Buffer

_MISSING = object()
"""Stands for the value of a global that isn't there."""


class _Versions:
    """A global that has had several values: one for the tasks of each time."""

    def __init__(self, namespace: dict[str, Any], name: str) -> None:
        self._namespace = namespace
        self._name = name
        self._values: dict[int, Any] = {0: _MISSING}  # by the bundle that brought each
        self._bundles = [0]  # those, in order
        self._current = 0  # its value, if it has one, is in the namespace

    def add(self, bundle: int, value: Any) -> None:
        """Take in a value, which tasks of later bundles are to see."""
        if bundle not in self._values:
            insort(self._bundles, bundle)
        self._values[bundle] = value

    def activate(self, bundle: int) -> None:
        """Let the global have the value that a task of that bundle expects."""
        wanted = self._bundles[bisect_right(self._bundles, bundle) - 1]
        if wanted == self._current:
            return
        # what a set-up or a task has put there is there again when its turn comes
        self._values[self._current] = self._namespace.pop(self._name, _MISSING)
        self._current = wanted
        if (value := self._values[wanted]) is not _MISSING:
            self._namespace[self._name] = value


class LoadedDefinitions:
    """The definitions of one context in this runner, and the globals that its code shares."""

    def __init__(self) -> None:
        self._definitions: dict[int, Any] = {}
        self._named: dict[int, bytes] = {}  # pickles of what can be imported by its name
        self._numbers: dict[int, int] = {}  # by id, for results that go home
        self._namespaces: dict[int, dict[str, Any]] = {}
        self._namespace_numbers: dict[int, int] = {}  # by id, for results that go home
        self._rebound: dict[tuple[int, str], _Versions] = {}

        self.reducer: Reducer | None = None  # for results; made when the first needs it

    def definition(self, number: int) -> Any:
        """Return the function, class or code object of that number."""
        try:
            return self._definitions[number]
        except KeyError:
            made = self._definitions[number] = pickle.loads(self._named[number])
            return made

    def number_of(self, thing: Any) -> int | None:
        """Return the number of an object, if it is a definition."""
        return self._numbers.get(id(thing))

    def namespace(self, number: int) -> dict[str, Any]:
        """Return the dict that the functions of one module share as their globals."""
        namespace = self._namespaces.get(number)
        if namespace is None:
            namespace = self._namespaces[number] = {"__builtins__": builtins}
            self._namespace_numbers[id(namespace)] = number
        return namespace

    def number_of_namespace(self, namespace: dict[str, Any]) -> int | None:
        """Return the number of a function's globals, if they came from the master."""
        return self._namespace_numbers.get(id(namespace))

    def load(self, bundle: int, segments: Sequence[Buffer]) -> None:
        """Load a bundle. Raises whatever its code raises when it is imported or rebuilt.

        After that it may be loaded once more.
        """
        unpickler = pickle.Unpickler(BytesIO(segments[0]), buffers=segments[1:])
        with resolving(self):
            while (entry := unpickler.load()) is not None:
                match entry:
                    case ("define", number, thing):
                        self._definitions[number] = thing
                        self._numbers[id(thing)] = number
                    case ("named", number, pickled):
                        self._named[number] = pickled
                    case ("bind", number, name, value):
                        # what a set-up has put there stays
                        self.namespace(number).setdefault(name, value)
                    case ("rebind", number, name, value):
                        self._rebind(bundle, number, name, value)
                    case ("unbind", number, name):
                        self._rebind(bundle, number, name, _MISSING)
                    case ("namespace", number, attributes):
                        self.namespace(number).update(attributes)
                    case ("import", name):
                        # a guess of the master's; what is truly missed, the task will say
                        with contextlib.suppress(ImportError):
                            importlib.import_module(name)

    def _rebind(self, bundle: int, number: int, name: str, value: Any) -> None:
        key = number, name
        if key not in self._rebound:
            self._rebound[key] = _Versions(self.namespace(number), name)
        self._rebound[key].add(bundle, value)

    def activate(self, bundle: int) -> None:
        """Give globals that have had several values the one that a task of that bundle expects."""
        for versions in self._rebound.values():
            versions.activate(bundle)
