"""The definitions and globals that a runner has loaded for the tasks of a context.

:mod:`.._definitions.book` says what a bundle holds. A bundle that can't be loaded fails only the
tasks that need something of it. Its globals are missing from that bundle on, since an older value
would be wrong. A task that needs such a global, or a definition of the bundle, fails with the
exception that loading has raised. The runner tries to load the bundle again for a later task that
refers to one of its definitions, and after a task has missed one of its globals.
"""

from __future__ import annotations

import builtins
import pickle
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO

from .._light_typing import TYPE_CHECKING, Any
from .failed_bundles import FailedBundle, failing_place, stand_in
from .global_versions import MISSING, GlobalVersions
from .references import resolving

if TYPE_CHECKING:
    from .._wire.types import Buffer
    from .pickler import Reducer


class LoadedDefinitions:
    """The definitions of one context in this runner, and the globals of its code."""

    def __init__(self) -> None:
        self._definitions: dict[int, Any] = {}
        self._named: dict[int, bytes] = {}  # pickles of objects that can be imported
        self._numbers: dict[int, int] = {}  # by id, for the pickles of results
        self._namespaces: dict[int, dict[str, Any]] = {}
        self._namespace_numbers: dict[int, int] = {}  # by id, for the pickles of results
        self._rebound: dict[tuple[int, str], GlobalVersions] = {}
        self._loading = 0  # the bundle that is being loaded
        self._active = 0  # globals have the values for tasks of this bundle
        self._newly_bound: list[tuple[int, str]] = []  # by the bundle that is being loaded
        self._failed: dict[int, FailedBundle] = {}  # by bundle
        self._brought_by: dict[int, int] = {}  # the failed bundle, by definition
        self._missed: set[int] = set()  # failed bundles, of which a task has missed a global
        self.reducer: Reducer | None = None
        """Takes results apart; made for the first result that needs it."""

    def definition(self, number: int) -> Any:
        """Return the function, class or code object of that number.

        Raises the exception of its bundle, if that could not be loaded.
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
        """Return the number of a definition; None if the object is none."""
        return self._numbers.get(id(thing))

    def namespace(self, number: int) -> dict[str, Any]:
        """Return the dict that the functions of one module share as their globals."""
        namespace = self._namespaces.get(number)
        if namespace is None:
            namespace = self._namespaces[number] = {"__builtins__": builtins}
            self._namespace_numbers[id(namespace)] = number
        return namespace

    def number_of_namespace(self, namespace: dict[str, Any]) -> int | None:
        """Return the number of a function's globals; None if they did not come from the master."""
        return self._namespace_numbers.get(id(namespace))

    # ---- loading

    def load(self, bundle: int, segments: Sequence[Buffer]) -> None:
        """Load a bundle. Raises whatever its code raises when it is imported or rebuilt.

        A bundle that has raised may be loaded again.
        """
        outer = self._loading, self._active, self._newly_bound
        self._loading, self._newly_bound = bundle, []
        self.activate(bundle)
        unpickler = pickle.Unpickler(BytesIO(segments[0]), buffers=segments[1:])
        try:
            with resolving(self):
                while unpickler.load() is not None:  # loading does the steps of the bundle
                    pass
        except BaseException as problem:
            self._fail(bundle, segments, problem)
            raise
        else:
            if self._failed.pop(bundle, None) is not None:
                self._brought_by = {n: b for n, b in self._brought_by.items() if b != bundle}
        finally:
            self._loading, active, self._newly_bound = outer
            if active > bundle:  # this was a later attempt
                self.activate(active)

    def load_if_possible(self, bundle: int, segments: Sequence[Buffer]) -> None:
        """Load a bundle; if that fails, keep the exception for what needs the bundle."""
        with suppress(BaseException):
            self.load(bundle, segments)

    def _load_again(self, bundle: int) -> None:
        self._failed[bundle].is_tried = True
        self.load_if_possible(bundle, self._failed[bundle].segments)

    def _fail(self, bundle: int, segments: Sequence[Buffer], problem: BaseException) -> None:
        """Keep a bundle that could not be loaded, and remove the globals that it has bound."""
        for number, name in self._newly_bound:
            self.namespace(number).pop(name, None)
        self._failed[bundle] = FailedBundle(segments, self.explained(problem))
        if len(segments) == 1:
            return  # the bundle binds and defines nothing by value
        numbers, keys, steps = pickle.loads(segments[-1])
        with resolving(self), suppress(BaseException):  # an import may have failed
            pickle.loads(steps)  # loading does the steps
        for key in keys:
            self.rebind(stand_in(key[1], MISSING), key)
        self._brought_by.update(dict.fromkeys(numbers, bundle))

    @property
    def has_failures(self) -> bool:
        """Whether a bundle could not be loaded."""
        return bool(self._failed)

    def begin_item(self) -> None:
        """Load bundles again of which a task has missed a global, and allow it for the others."""
        for failed in self._failed.values():
            failed.is_tried = False
        for bundle in sorted(self._missed):
            if bundle in self._failed and not self._failed[bundle].is_tried:
                self._load_again(bundle)
        self._missed.clear()

    def explained(self, problem: BaseException) -> BaseException:
        """Return the reason of a missing global, if an item has failed for that; or ``problem``."""
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
        """Let tasks refer to an object that is imported for the first of them."""
        self._named[number] = pickled

    def bind(self, value: Any, key: tuple[int, str]) -> None:
        """Give a global its value, unless a set-up has set the global already."""
        number, name = key
        namespace = self.namespace(number)
        versions = self._rebound.get(key)
        if versions is not None:  # the bundle has failed before
            earlier = versions.before(self._loading)
            self.rebind(value if earlier is MISSING else earlier, key)
        elif name not in namespace:
            namespace[name] = value
            self._newly_bound.append(key)

    def rebind(self, value: Any, key: tuple[int, str]) -> None:
        """Give a global another value from this bundle on."""
        number, name = key
        if key not in self._rebound:
            self._rebound[key] = GlobalVersions(self.namespace(number), name)
        self._rebound[key].add(self._loading, value)
        self._rebound[key].activate(self._loading)  # the next object of the bundle may use it

    def unbind(self, key: tuple[int, str]) -> None:
        """Remove a global from this bundle on."""
        self.rebind(MISSING, key)

    # ---- versions

    def activate(self, bundle: int) -> None:
        """Give each global that has several values the one that a task of that bundle expects."""
        self._active = bundle
        for versions in self._rebound.values():
            versions.activate(bundle)
