"""Writes one bundle: some code, and the code and globals that it needs, unless they were sent.

A bundle is a row of pickles with one memo, so that what its parts share stays shared. See
:mod:`.book` for what is in them. Its last segment lists what it defines and binds.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from .._code.by_name import is_defined, reduce_by_name
from .._code.functions import reduce_code_object, reduce_function
from .._code.reducers import is_code, is_taken_apart, name_slots, reduce_class
from .._code.references import bind, define, definition, have_done, rebind, unbind
from .._light_typing import NamedTuple
from .bundle_file import BundleFile
from .function_needs import FunctionNeeds
from .sent import Binding, Definition, Key, LateStep, Sent, Step
from .snapshot import MISSING, Snapshot


class _Scope(NamedTuple):
    """A part of a bundle, and what is met in it, but for the bindings inside it."""

    met: dict[int, Any]  # by id: functions, classes and code objects
    group: list[Definition]  # those that are definitions, when it is at its end


class BundleWriter:
    """Writes one bundle. Nothing is known to the book before :meth:`commit`.

    The code that a root needs is followed to its end. Parts that were sent and have not changed
    are only referred to, and :attr:`snapshot` gathers all of it, sent now or earlier.

    A function may be called as soon as it is there, by what is rebuilt next (a ``__setstate__``, a
    ``__hash__``, a metaclass). So its globals are bound inside its own pickle, and those of what
    they hold inside theirs. In a circle, each global is bound as soon as its value is there.

    Args:
        sent: what has been sent before.
        reduce: returns cloudpickle's reduction of a function or class.
        may_have_name: tells whether objects of a type may be pickled by name.
        unchanged: the numbers of definitions that count as what they were when they were sent.
        depth_limit: how deep bindings may be inside others; what is deeper is bound at the end.
    """

    def __init__(
        self,
        sent: Sent,
        reduce: Callable[[Any], Any],
        may_have_name: Callable[[type], bool],
        unchanged: set[int],
        depth_limit: int,
    ) -> None:
        self.snapshot = Snapshot()
        self.numbers: set[int] = set()
        """Of the definitions that the root needs, as far as they were followed."""
        self._sent = sent
        self._reduce_by_value = reduce
        self._depth_limit = depth_limit
        self._file = BundleFile(self._met, self._reduce, may_have_name)
        self._scopes: list[_Scope] = []  # those that are being written, the innermost last
        self._found: dict[int, Definition] = {}  # by id: what is defined in this bundle
        self._bound: dict[Key, Binding] = {}
        self._unfinished: set[Key] = set()  # of those, whose value is being written
        self._settled: set[int | Key] = set()  # what lacks nothing, nor does what it needs
        self._needs = FunctionNeeds(sent)
        self._unchanged = unchanged

    def require(self, thing: Any) -> int:
        """Have a function, class or code object defined; return its number."""
        root = self._known(thing)
        if root is None:
            self._dump(thing)
            root = self._found[id(thing)]
        self._complete([root])
        return root.number

    def require_globals(self, function: FunctionType) -> None:
        """Have the globals bound that a function uses; the function itself travels otherwise."""
        for step in self._needs.steps(function):
            self._dump(step)
        self._complete(self._needs.keys(function))

    def commit(self) -> bool:
        """Make what was written a bundle, unless nothing was.

        Returns whether something had been sent before, and is something else now.
        """
        is_anew = False
        if not self._file.is_empty:
            for found in self._found.values():
                self._dump(Step(define, found.number, found.object))
            bundle = self._file.finish(self._contents())
            self._sent.described |= self._needs.described
            self._sent.imported |= self._needs.imported
            is_anew = self._sent.add_bundle(bundle, self._found)
        return self._sent.add_bindings(self._bound) or is_anew

    def _contents(self) -> bytes:
        """Return a pickle of what is in this bundle, for a slave that can't load the bundle.

        The last part is a pickle of the steps that need nothing of the script.
        """
        numbers = [found.number for found in self._found.values()]
        keys = [key for key, binding in self._bound.items() if self._is_new(key, binding)]
        return pickle.dumps((numbers, keys, pickle.dumps(self._needs.plain_steps, 5)), 5)

    def _is_new(self, key: Key, binding: Binding) -> bool:
        """Whether this bundle changes a global; it leaves those that have always been missing."""
        known = self._sent.bindings.get(key)
        return known is not binding and (known is not None or binding.value is not MISSING)

    def close(self) -> None:
        """Let go of what the file has pickled, and of the way from there back to here."""
        self._file.close()

    # ---- what code needs before it is used

    def _complete(self, roots: list[Definition] | list[Key]) -> None:
        """Have everything bound that is still lacking, and take note of all that is needed."""
        while steps := self._lacking(roots, takes_note=True):
            for step in steps:
                self._dump(step)

    def _before_use(self, roots: list[Definition] | list[Key]) -> list[Step | LateStep]:
        """Return what is to be done inside the pickle of some code, for it to be usable."""
        return self._lacking(roots) if len(self._scopes) <= self._depth_limit else []

    def _lacking(
        self, roots: list[Definition] | list[Key], *, takes_note: bool = False
    ) -> list[Step | LateStep]:
        """Return the steps that are missing for code to be usable, and what it needs in turn.

        What is new in this bundle sees to itself when it is written, so that it is only followed
        in order to take note of what is needed.
        """
        steps: list[Step | LateStep] = []
        seen: set[int | Key] = set()
        groups: set[int] = set()  # ids: what was met in one scope has the same one
        snapshot = Snapshot()
        pending: list[Definition | Key] = [*roots]
        for one in pending:  # it grows
            mark = one.number if isinstance(one, Definition) else one
            if mark in seen or (mark in self._settled and not takes_note):
                continue
            seen.add(mark)
            if isinstance(one, Definition):
                if not takes_note and id(one.object) in self._found:
                    continue
                if takes_note and not steps:  # else this is done again when nothing is missing
                    snapshot.add(one.snapshot)
                if id(one.group) not in groups:
                    groups.add(id(one.group))
                    pending += one.group
                if type(one.object) is FunctionType:
                    steps += self._needs.steps(one.object)
                    pending += self._needs.keys(one.object)
            elif (binding := self._binding(one)) is None:
                steps.append(LateStep(partial(self._reduce_binding, one)))
            else:
                if takes_note and not steps:
                    snapshot.add_global(binding.module, one[1], binding.value)
                pending += binding.group
        if takes_note:
            self.snapshot, self.numbers = snapshot, {mark for mark in seen if type(mark) is int}
        elif not steps:
            self._settled |= seen
        return steps

    # ---- globals

    def _binding(self, key: Key) -> Binding | None:
        """Return what a global was bound to, if it needn't be bound (again)."""
        if key in self._bound:
            return None if key in self._unfinished else self._bound[key]
        number, name = key
        module = self._sent.namespace(number)
        value = module.get(name, MISSING)
        binding = self._sent.bindings.get(key)
        if binding is None:
            if value is not MISSING:
                return None
            binding = Binding(module, MISSING, [])
        elif binding.value is not value or not self._are_unchanged(binding.group):
            return None
        self._bound[key] = binding
        return binding

    def _reduce_binding(self, key: Key) -> tuple[Any, ...]:
        """Return how a global is bound, now that the pickler comes to it."""
        if self._binding(key) is not None:  # another has needed it meanwhile
            return tuple, ()
        binding = self._bound.get(key)  # if its value is being written: one that holds itself
        if binding is None:
            number, name = key
            module = self._sent.namespace(number)
            binding = self._bound[key] = Binding(module, module.get(name, MISSING), [])
        if binding.value is MISSING:
            return unbind, (key,)
        self._unfinished.add(key)
        self._scopes.append(_Scope({}, binding.group))
        function = bind if key not in self._sent.bindings else rebind
        # the pickler comes to the key when it has written the value
        return function, (binding.value, LateStep(partial(self._end_binding, key)))

    def _end_binding(self, key: Key) -> tuple[Any, ...]:
        """Take note that the value of a global is written; return how its key is pickled."""
        self._unfinished.discard(key)
        self._end_scope()
        return tuple, (key,)

    # ---- what was sent, and is still what it was

    def _known(self, thing: Any) -> Definition | None:
        known = self._sent.definitions.get(id(thing))
        return known if known is not None and self._are_unchanged(known.group) else None

    def _are_unchanged(self, group: Iterable[Definition]) -> bool:
        """Whether definitions, and all that they were pickled with, are as they were sent."""
        seen: set[int] = set()
        pending = list(group)
        while pending:
            one = pending.pop()
            if one.number in seen or one.number in self._unchanged:
                continue
            seen.add(one.number)
            latest = self._found.get(id(one.object)) or self._sent.definitions[id(one.object)]
            if latest is not one or not one.snapshot.is_current():
                return False
            pending += one.group
        self._unchanged |= seen
        return True

    # ---- pickling

    def _dump(self, thing: Any) -> None:
        """Write something: a step, or what this bundle is written for."""
        self._scopes.append(_Scope({}, []))
        self._file.dump(thing)
        self._end_scope()

    def _end_scope(self) -> None:
        met, group = self._scopes.pop()
        known = {one.number for one in group}
        for id_ in met:
            found = self._found.get(id_) or self._sent.definitions.get(id_)
            if found is not None and found.number not in known:
                group.append(found)

    def _met(self, thing: Any) -> None:
        """Take note of a function, class or code object, each time that a pickle comes to it."""
        self._scopes[-1].met[id(thing)] = thing

    def _reduce(self, thing: Any) -> Any:
        """Return the reduction of code, or of what may have a name, the first time."""
        found = self._found.get(id(thing))
        if found is None and (known := self._known(thing)):
            steps = self._before_use([known])
            reference = definition, (known.number,)
            return (*reference, steps, None, None, have_done) if steps else reference
        reduced, is_by_value = self._take_apart(thing)
        if found is None and is_by_value:
            self._found[id(thing)] = Definition(
                self._sent.number(), thing, Snapshot.of(thing), self._scopes[-1].group
            )
        return reduced

    def _take_apart(self, thing: Any) -> tuple[Any, bool]:
        """Return a reduction, and whether it is one by value."""
        kind = type(thing)
        if kind is CodeType:
            return reduce_code_object(thing), True
        if not is_code(kind):
            reduced = reduce_by_name(thing)
            return reduced, is_defined(reduced)
        reduced = self._reduce_by_value(thing)
        if not is_taken_apart(reduced):
            return reduced, False
        if kind is FunctionType:
            steps = [*self._needs.steps(thing), *self._before_use(self._needs.keys(thing))]
            namespace = self._sent.namespace_number(thing.__globals__)
            return reduce_function(thing, namespace, steps), True
        name_slots(thing)
        return reduce_class(thing, reduced), True
