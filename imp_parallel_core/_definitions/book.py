"""Pickles the tasks of a context, and sends code that no module on the slave holds in bundles.

Code that must travel by value (from ``__main__``, a notebook, a lambda) is written into *bundles*,
numbered rows of pickles that each runner loads once, in order. A task's own pickle only refers to
definitions in bundles, and the number of the last bundle that it needs travels with it.

A bundle consists of steps that are carried out while it is loaded (:mod:`.bundles` writes them,
:mod:`.._code.loaded` carries them out). They are calls of functions of :mod:`.._code.references`,
each at the place where it has to happen, at the top or deep inside an object that is rebuilt:

- ``define``: a function, a class, a code object or a sentinel (:mod:`.._code.by_name`) gets a
  number;
- ``bind``: a global that such code uses gets its value;
- ``rebind``: it has another value from this bundle on;
- ``unbind``: from this bundle on, it is not there;
- ``describe``: ``__name__``, ``__file__`` … of a module;
- ``import_submodule``: a module that the code expects to be loaded;
- ``change_path``: modules are imported from elsewhere (:mod:`.import_path`);
- ``define_named``: a function or class that is importable, pickled by its name, gets a number; it
  is imported when a task refers to it.

A definition is sent again when the *identity* of something that it captured has changed: a global
that was bound anew, another class attribute. Changes inside a captured object are not seen. One
task's pickle sees one version of everything, even if pickling itself changes something.
"""

from __future__ import annotations

import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, TypeVar

from .._code.by_name import is_defined, may_have_name, reduce_by_name
from .._code.functions import has_no_name, reduce_function
from .._code.pickler import Large, pickle_with
from .._code.reducers import (
    is_code,
    is_taken_apart,
    reduce_by_value,
    reducer_of,
    registered_by_value,
)
from .._code.references import change_path, define_named, definition
from .._light_typing import NamedTuple
from .._wire.shared_memory import SharedBytes, kept
from .bundles import BundleWriter
from .import_path import ImportPath, absolute_path
from .large_parts import LEAST_BYTES, LargePart, LargeParts
from .plain_tasks import PlainTasks
from .sent import Segments, Sent, Step
from .snapshot import Snapshot

TaskSegments = tuple[bytes | SharedBytes | LargePart, ...]
_T = TypeVar("_T")
_DEPTH_LIMIT = 10  # of bindings inside others, where the stack does not suffice for more


class _Reduction(NamedTuple):
    """How tasks' pickles refer to some code."""

    object: Any  # held, so that its id stays its own
    reduction: Any
    snapshot: Snapshot | None  # of all that it needs; None if it is importable
    numbers: set[int]  # of the definitions that it needs


class _SentGlobals(NamedTuple):
    """What was sent for functions that travel with their tasks."""

    code: CodeType  # held, so that its id stays its own
    snapshot: Snapshot
    numbers: set[int]  # of the definitions that the globals need


class DefinitionBook:
    """The definitions of one context, and the bundles that carry them. Safe to share by threads.

    Args:
        parts: the large parts of its tasks.
        path: the path to import from; by default slaves have the one that there is now.
    """

    def __init__(self, parts: LargeParts | None = None, path: ImportPath | None = None) -> None:
        self._parts = parts or LargeParts()
        self._path = path or ImportPath(absolute_path())
        self.sent = Sent()
        self.bundles = self.sent.bundles
        """Bundle ``n`` is ``bundles[n - 1]``; a task that needs none says 0."""
        self._lock = threading.RLock()
        self._reductions: dict[int, _Reduction] = {}  # by id; of what tasks' pickles refer to
        self._plain_kinds: set[type] = set()  # whose instances pickle itself takes apart
        self._named_kinds: dict[type, bool] = {}  # whether instances may be pickled by name
        self._globals_sent: dict[tuple[int, int], _SentGlobals] = {}
        self._seen_once: weakref.WeakSet[FunctionType] = weakref.WeakSet()
        self._relied_on: list[set[int]] = []  # numbers that the pickle being written refers to
        self._registered = set(registered_by_value)
        self._plain = PlainTasks()

    def pickle(self, thing: Any) -> tuple[Segments, int]:
        """Return a pickle of anything, as segments, and the last bundle that it needs.

        The first segment is the pickle; the others are large buffers (protocol 5). They are copied,
        so that later changes are not sent; large ones are copied to shared memory. Raises whatever
        pickling raises.
        """
        with self._lock:
            data, buffers = self._pickle_alone(thing)
            return (kept(data), *(kept(one.raw) for one in buffers)), len(self.bundles)

    def _pickle_alone(self, thing: Any) -> tuple[bytes, list[Large]]:
        if not self._path.is_unchanged() and (change := self._path.change()) is not None:
            self._add_step(Step(change_path, *change))
        outer = self._relied_on  # a __getstate__ may add a task: it sees the same versions
        self._relied_on = outer.copy()
        try:
            return self._pickle(thing)
        finally:
            self._relied_on = outer

    def pickle_task(self, task: Any, args: tuple[Any, ...]) -> tuple[TaskSegments, int]:
        """Return a task as segments, and the last bundle that it needs; see :meth:`pickle`.

        A large segment is a :class:`~.large_parts.LargePart`.
        """
        if registered_by_value == self._registered and self._path.is_unchanged():
            plain = self._plain.payload(task, args)
            if plain is not None and len(plain) < LEAST_BYTES:
                return (plain,), len(self.bundles)
        with self._lock:
            data, buffers = self._pickle_alone((task, args))
            large = self._parts.segments(buffers) if buffers else ()
            bundle = len(self.bundles)
            self._plain.learn(task, self._number_of)
        return (kept(data), *large), bundle

    def _number_of(self, code: Any) -> tuple[int, Snapshot | None] | None:
        """Return the number by which plain tasks refer to code that has been met before."""
        known = self._reductions.get(id(code))
        if known is not None and known.snapshot is not None:
            refer, arguments = known.reduction[:2]
            return (arguments[0], known.snapshot) if refer is definition else None
        if known is None or is_taken_apart(known.reduction):
            return None  # one that travels with its task
        number = self.sent.number(code)
        self._add_step(Step(define_named, number, pickle.dumps(code, 5)))
        return number, None

    def _add_step(self, step: Step) -> None:
        """Have a bundle do one thing that needs no other."""
        self.bundles.append((pickle.dumps((step,), 5) + pickle.dumps(None),))

    def _pickle(self, thing: Any) -> tuple[bytes, list[Large]]:
        if registered_by_value != self._registered:
            self._registered = set(registered_by_value)
            self._forget_what_is_current()
        try:
            return pickle_with(self._reduce, thing)
        except pickle.PicklingError:
            if not self._reductions:
                raise
            self._forget_what_is_current()  # perhaps a module was loaded again
            return pickle_with(self._reduce, thing)

    # ---- what pickles of tasks and results refer to

    def definition(self, number: int) -> Any:
        """Return the original object of that number."""
        return self.sent.definition(number)

    def namespace(self, number: int) -> dict[str, Any]:
        """Return the globals of that number."""
        return self.sent.namespace(number)

    # ---- what a task's pickle holds of code

    def _reduce(self, thing: Any) -> Any:
        """Reduce anything that is met in a task's pickle (called for nearly every object)."""
        kind = type(thing)
        if kind in self._plain_kinds:
            return NotImplemented
        known = self._reductions.get(id(thing))
        if known is not None and (known.snapshot is None or known.snapshot.is_current()):
            self._relied_on.append(known.numbers)
            return known.reduction
        if is_code(kind):
            return self._reduce_code(thing)
        reducer = reducer_of(kind)
        if reducer is not None:
            return reducer(thing)
        if self._may_have_name(kind):
            return self._reduce_by_name(thing)
        self._plain_kinds.add(kind)
        return NotImplemented

    def _reduce_code(self, thing: Any) -> Any:
        kind = type(thing)
        if kind is FunctionType and has_no_name(thing) and self._is_seen_first(thing):
            return self._reduce_with_its_task(thing)
        if kind is not CodeType:
            reduced = self._reduce_by_value(thing)
            if not is_taken_apart(reduced):
                return reduced
        return self._define(thing)

    def _reduce_by_name(self, thing: Any) -> Any:
        reduced = reduce_by_name(thing)
        return self._define(thing) if is_defined(reduced) else reduced

    def _define(self, thing: Any) -> Any:
        writer, number = self._write(lambda writer: writer.require(thing))
        reference = definition, (number,)
        self._relied_on.append(writer.numbers)
        self._reductions[id(thing)] = _Reduction(thing, reference, writer.snapshot, writer.numbers)
        return reference

    def _write(self, write: Callable[[BundleWriter], _T]) -> tuple[BundleWriter, _T]:
        """Write a bundle; return its writer, and what ``write`` returns."""
        try:
            return self._write_with(sys.maxsize, write)
        except RecursionError:  # functions that use one another, in a long chain
            return self._write_with(_DEPTH_LIMIT, write)

    def _write_with(
        self, depth_limit: int, write: Callable[[BundleWriter], _T]
    ) -> tuple[BundleWriter, _T]:
        # What the pickle that is being written refers to, or needs in turn, stays what it is until
        # that is written, whatever pickling changes: another version of a class would not be the
        # one that a method refers to already.
        relied_on: set[int] = set().union(*self._relied_on)
        writer = BundleWriter(
            self.sent, self._reduce_by_value, self._may_have_name, relied_on, depth_limit
        )
        try:
            written = write(writer)
            if writer.commit():
                self._forget_what_is_current()
        finally:
            writer.close()
        return writer, written

    def _may_have_name(self, kind: type) -> bool:
        """Whether objects of a type may be pickled by name."""
        known = self._named_kinds.get(kind)
        if known is None:
            known = self._named_kinds[kind] = may_have_name(kind)
        return known

    def _reduce_by_value(self, thing: Any) -> Any:
        """Return cloudpickle's reduction of a function or class."""
        known = self._reductions.get(id(thing))
        if known is not None and known.snapshot is None:
            return known.reduction
        reduced = reduce_by_value(thing)
        if not is_taken_apart(reduced):
            self._reductions[id(thing)] = _Reduction(thing, reduced, None, set())
        return reduced

    def _is_seen_first(self, function: FunctionType) -> bool:
        """Whether a function that has no name to be found by is met for the first time.

        Most such functions are made for one task and never seen again: they travel with the task.
        A function that comes a second time is worth a definition.
        """
        if function in self._seen_once:
            return False
        self._seen_once.add(function)
        return True

    def _reduce_with_its_task(self, function: FunctionType) -> Any:
        namespace = self.sent.namespace_number(function.__globals__)
        key = id(function.__code__), namespace
        sent = self._globals_sent.get(key)
        if sent is None or not sent.snapshot.is_current():
            writer, _ = self._write(lambda writer: writer.require_globals(function))
            sent = _SentGlobals(function.__code__, writer.snapshot, writer.numbers)
            self._globals_sent[key] = sent
        self._relied_on.append(sent.numbers)
        return reduce_function(function, namespace)

    def _forget_what_is_current(self) -> None:
        # code that held the old version may look unchanged again later, when that is bound again
        self._reductions.clear()
        self._globals_sent.clear()
        self._plain.forget()
