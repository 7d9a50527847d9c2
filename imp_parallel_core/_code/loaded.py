"""What a context's tasks need that no module on the slave holds: the runner's side.

See :mod:`.._definitions.book` for what a bundle holds. A bundle that can't be loaded takes nothing
from tasks that need nothing of it. Its globals are missing from that bundle on (an older value
would be a wrong one), and what needs them, or its definitions, gets the exception that loading has
raised. It is tried again for a later task that refers to one of its definitions, and after a task
has missed one of its globals.
"""

from __future__ import annotations

import builtins
import pickle
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO

from .._light_typing import TYPE_CHECKING, Any
from .failed_bundles import FailedBundle, failing_place, stand_in
from .references import resolving

if TYPE_CHECKING:
    from .._wire.types import Buffer
    from .pickler import Reducer

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

    @property
    def current(self) -> int:
        """The bundle whose value is in the namespace."""
        return self._current

    def before(self, bundle: int) -> Any:
        """Return the value that tasks before that bundle see; it is not the current one."""
        return self._values[self._bundles[bisect_left(self._bundles, bundle) - 1]]

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
        self._active = 0  # the bundle whose tasks' globals are there
        self._newly_bound: list[tuple[int, str]] = []  # by the bundle that is being loaded
        self._failed: dict[int, FailedBundle] = {}  # by the number of the bundle
        self._brought_by: dict[
            int, int
        ] = {}  # the bundle, by the definition that it failed to make
        self._missed: set[int] = set()  # failed bundles of which a task has missed a global

        self.reducer: Reducer | None = None  # for results; made when the first needs it

    def definition(self, number: int) -> Any:
        """Return the function, class or code object of that number.

        Raises what its bundle has raised, if that could not be loaded.
        """
        try:
            return self._definitions[number]
        except KeyError:
            pass
        bundle = self._brought_by.get(number)
        if bundle is None:
            made = self._definitions[number] = pickle.loads(self._named[number])
            return made
        if not self._failed[bundle].is_tried:
            self._load_again(bundle)
        if bundle in self._failed:
            raise self._failed[bundle].exception(
                "(raised while the slave rebuilt code that the task uses, or something that was "
                "sent together with that code; when that is corrected, define the code anew, or "
                "use another context)"
            )
        return self._definitions[number]

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

    # ---- loading

    def load(self, bundle: int, segments: Sequence[Buffer]) -> None:
        """Load a bundle. Raises whatever its code raises when it is imported or rebuilt.

        After that it may be loaded once more.
        """
        outer = self._loading, self._active, self._newly_bound
        self._loading, self._newly_bound = bundle, []
        self.activate(bundle)
        unpickler = pickle.Unpickler(BytesIO(segments[0]), buffers=segments[1:])
        try:
            with resolving(self):
                while unpickler.load() is not None:  # its steps are done while it is loaded
                    pass
        except BaseException as problem:
            self._fail(bundle, segments, problem)
            raise
        else:
            if self._failed.pop(bundle, None) is not None:
                self._brought_by = {n: b for n, b in self._brought_by.items() if b != bundle}
        finally:
            self._loading, active, self._newly_bound = outer
            if active > bundle:  # it is a late attempt
                self.activate(active)

    def load_if_possible(self, bundle: int, segments: Sequence[Buffer]) -> None:
        """Load a bundle; if that fails, keep the exception for what needs the bundle."""
        with suppress(BaseException):
            self.load(bundle, segments)

    def _load_again(self, bundle: int) -> None:
        self._failed[bundle].is_tried = True
        self.load_if_possible(bundle, self._failed[bundle].segments)

    def _fail(self, bundle: int, segments: Sequence[Buffer], problem: BaseException) -> None:
        """Take note that a bundle could not be loaded, and take away what it has bound."""
        for number, name in self._newly_bound:
            self.namespace(number).pop(name, None)
        self._failed[bundle] = FailedBundle(segments, self.explained(problem))
        if len(segments) == 1:
            return  # one that binds and defines nothing by value
        numbers, keys, steps = pickle.loads(segments[-1])
        with resolving(self), suppress(BaseException):  # an import may be what has failed
            pickle.loads(steps)  # does them
        for key in keys:
            self.rebind(stand_in(key[1], _MISSING), key)
        self._brought_by.update(dict.fromkeys(numbers, bundle))

    @property
    def has_failures(self) -> bool:
        """Whether bundles could not be loaded."""
        return bool(self._failed)

    def begin_item(self) -> None:
        """Try bundles again of which a task has missed a global; let all others be tried again."""
        for failed in self._failed.values():
            failed.is_tried = False
        for bundle in sorted(self._missed):
            if bundle in self._failed and not self._failed[bundle].is_tried:
                self._load_again(bundle)
        self._missed.clear()

    def explained(self, problem: BaseException) -> BaseException:
        """Return why a global is missing, if that is why an item failed, or its own exception."""
        if type(problem) is not NameError or (name := problem.name) is None:
            return problem
        for namespace in failing_place(problem):
            number = self._namespace_numbers.get(id(namespace))
            if number is not None:
                versions = self._rebound.get((number, name))
                bundle = versions.current if versions is not None else 0
                if bundle not in self._failed:
                    return problem
                self._missed.add(bundle)
                return self._failed[bundle].exception(
                    f"(raised while the slave rebuilt the global {name!r}, which the task uses, or "
                    "something that was sent together with that global; when that is corrected, "
                    f"bind {name!r} anew, or use another context)"
                )
        return problem

    # ---- the steps of a bundle (see :mod:`.references`)

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
        namespace = self.namespace(number)
        versions = self._rebound.get(key)
        if versions is not None:  # its bundle failed before
            earlier = versions.before(self._loading)
            self.rebind(value if earlier is _MISSING else earlier, key)
        elif name not in namespace:
            namespace[name] = value
            self._newly_bound.append(key)

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
        self._active = bundle
        for versions in self._rebound.values():
            versions.activate(bundle)
