"""What a context's tasks need that no module on the slave holds: the runner's side.

See :mod:`._definitions` for what a bundle holds.
"""

from __future__ import annotations

import builtins
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
        if bundle == self._current:  # it is loaded once more
            self._put(value)

    def activate(self, bundle: int) -> None:
        """Let the global have the value that a task of that bundle expects."""
        wanted = self._bundles[bisect_right(self._bundles, bundle) - 1]
        if wanted == self._current:
            return
        # what a set-up or a task has put there is there again when its turn comes
        self._values[self._current] = self._namespace.pop(self._name, _MISSING)
        self._current = wanted
        self._put(self._values[wanted])

    def _put(self, value: Any) -> None:
        if value is _MISSING:
            self._namespace.pop(self._name, None)
        else:
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
        self._loading = 0  # the bundle that is being loaded

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
        self._loading = bundle
        self.activate(bundle)
        unpickler = pickle.Unpickler(BytesIO(segments[0]), buffers=segments[1:])
        with resolving(self):
            while unpickler.load() is not None:  # its steps are done while it is loaded
                pass

    # ---- the steps of a bundle (see _references)

    def define(self, number: int, thing: Any) -> None:
        """Let pickles refer to a function, a class or a code object."""
        self._definitions[number] = thing
        self._numbers[id(thing)] = number

    def define_named(self, number: int, pickled: bytes) -> None:
        """Let tasks refer to what is imported when the first does."""
        self._named[number] = pickled

    def bind(self, value: Any, key: tuple[int, str]) -> None:
        """Give a global its value; what a set-up has put there stays."""
        number, name = key
        self.namespace(number).setdefault(name, value)

    def rebind(self, value: Any, key: tuple[int, str]) -> None:
        """Give a global the value that it has from this bundle on."""
        number, name = key
        if key not in self._rebound:
            self._rebound[key] = _Versions(self.namespace(number), name)
        self._rebound[key].add(self._loading, value)
        self._rebound[key].activate(self._loading)  # what is rebuilt next may use it

    def unbind(self, key: tuple[int, str]) -> None:
        """Let a global be missing from this bundle on."""
        self.rebind(_MISSING, key)

    # ---- versions

    def activate(self, bundle: int) -> None:
        """Give globals that have had several values the one that a task of that bundle expects."""
        for versions in self._rebound.values():
            versions.activate(bundle)
