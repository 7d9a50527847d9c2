"""What a context's tasks need that no module on the slave holds: the master's side.

Code that must travel by value (from ``__main__``, a notebook, a lambda) is written into *bundles*,
numbered pickles that each runner loads in order, once. A task's own pickle only refers to what is
in them, and says up to which bundle it needs them.

A bundle holds entries; the slave's side is in :mod:`._loaded_definitions`:

- ``("define", number, object)``: a function, a class or a code object;
- ``("bind", namespace, name, value)``: the value of a global that such code uses;
- ``("namespace", namespace, attributes)``: ``__name__``, ``__file__`` … of a module;
- ``("import", name)``: a module that the code expects to be loaded.

What has been sent is sent again when the *identity* of something that it captured has changed: a
global that was bound anew, another class attribute. Changes inside a captured object are not seen.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from io import BytesIO
from pickle import PickleBuffer
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import cloudpickle

from ._by_value import (
    cell_contents,
    global_names,
    reduce_function,
    submodules_used,
    untracked,
)
from ._protocol import FRAME_LIMIT_BYTES
from ._references import definition

Segments = list[bytes]
_MISSING = object()
_NAMESPACE_ATTRIBUTES = ("__name__", "__package__", "__file__", "__path__")


class _Known(NamedTuple):
    """A definition that is in some bundle."""

    number: int
    object: Any
    captured: tuple[Any, ...]
    relatives: set[int]  # the definitions that were written with it, or that it refers to

    def is_unchanged(self) -> bool:
        now = _captured(self.object)
        return len(now) == len(self.captured) and all(map(_is, now, self.captured))


def _is(one: object, other: object) -> bool:
    return one is other


def _captured(thing: Any) -> tuple[Any, ...]:
    """Return what a function or class holds, to be compared by identity."""
    if isinstance(thing, FunctionType):
        return (thing.__code__, thing.__defaults__, thing.__kwdefaults__, *cell_contents(thing))
    if isinstance(thing, type):
        return (*thing.__dict__.values(), *thing.__bases__)
    return ()


class DefinitionBook:
    """The definitions of one context, and the bundles that carry them. Safe to share by threads."""

    def __init__(self) -> None:
        self.bundles: list[Segments] = []
        """Bundle ``n`` is ``bundles[n - 1]``; a task that needs none says 0."""
        self._lock = threading.RLock()
        self._known: dict[int, _Known] = {}  # by id; each holds its object, so ids stay true
        self._objects: list[Any] = []  # by number
        self._by_reference: dict[int, Any] = {}  # by id; importable, so it need not travel
        self._namespaces: dict[int, tuple[int, dict[str, Any]]] = {}  # by id of the globals
        self._bindings: dict[tuple[int, str], tuple[dict[str, Any], Any]] = {}
        self._seen_once: weakref.WeakSet[FunctionType] = weakref.WeakSet()

    def pickle(self, thing: Any) -> tuple[Segments, int]:
        """Return a pickle of anything, as segments, and the last bundle that it needs.

        The first segment is the pickle; the others are large buffers (protocol 5), copied, so
        that what is sent is what was there at this moment. Raises whatever pickling raises.
        """
        with self._lock:
            self._send_rebound_globals()
            segments = Segments()
            file = BytesIO()
            _TaskPickler(file, self, segments).dump(thing)
            return [file.getvalue(), *segments], len(self.bundles)

    # ---- looking up; also what a result that comes home refers to

    def definition(self, number: int) -> Any:
        """Return the original object of that number."""
        return self._objects[number]

    def namespace(self, number: int) -> dict[str, Any]:
        """Return the globals of that number."""
        return next(found for n, found in self._namespaces.values() if n == number)

    def known(self, thing: Any) -> _Known | None:
        """Return what was sent of an object, if neither it nor its relatives have changed since."""
        known = self._known.get(id(thing))
        if known is None or not known.is_unchanged():
            return None
        for number in known.relatives:
            relative = self._known.get(id(self._objects[number]))
            if relative is None or relative.number != number or not relative.is_unchanged():
                return None
        return known

    def is_by_reference(self, thing: Any) -> bool:
        """Whether an object was found to be importable on the slave."""
        return id(thing) in self._by_reference

    def note_by_reference(self, thing: Any) -> None:
        """Remember that an object is importable."""
        self._by_reference[id(thing)] = thing

    def namespace_number(self, namespace: dict[str, Any]) -> int:
        """Return the number of a module's globals."""
        fresh = (len(self._namespaces), namespace)
        return self._namespaces.setdefault(id(namespace), fresh)[0]

    def is_seen_first(self, function: FunctionType) -> bool:
        """Whether a function that has no name to be found by is met for the first time.

        Most such functions are made for one task and never seen again: they travel with it. One
        that comes a second time is worth a definition.
        """
        if "<" not in function.__qualname__ or function in self._seen_once:
            return False
        self._seen_once.add(function)
        return True

    # ---- writing bundles

    def define(self, thing: Any) -> int:
        """Write a bundle that defines an object, and return the object's number."""
        self._write_bundle([thing], [])
        return self._known[id(thing)].number

    def bind_globals_of(self, function: FunctionType) -> None:
        """Write a bundle with the globals that a function uses, as far as they are not sent."""
        wanted = [want for want in self.globals_of(function) if not self._is_bound(want)]
        if wanted:
            self._write_bundle([], wanted)

    def globals_of(self, function: FunctionType) -> list[_Global]:
        """Return the globals that a function may use."""
        namespace = self.namespace_number(function.__globals__)
        code = function.__code__
        return [_Global(namespace, function.__globals__, n, code) for n in global_names(code)]

    def _is_bound(self, want: _Global) -> bool:
        _, value = self._bindings.get(want.key, (None, None))
        return want.key in self._bindings and value is want.value

    def _send_rebound_globals(self) -> None:
        changed = [
            _Global(namespace, module, name, None)
            for (namespace, name), (module, value) in self._bindings.items()
            if module.get(name, _MISSING) is not value
        ]
        if changed:
            self._write_bundle([], changed)

    def _write_bundle(self, roots: Iterable[Any], wanted: Iterable[_Global]) -> None:
        """Write roots and globals, and all that they need in turn, as one more bundle."""
        file, segments = BytesIO(), Segments()
        pickler = _BundlePickler(file, self, segments)
        pickler.wanted.extend(wanted)
        for root in roots:
            pickler.dump(("object", root))
        bound = self._dump_globals(pickler)
        found = list(pickler.found.values())
        first = len(self._objects)
        for number, thing in enumerate(found, first):
            pickler.dump(("define", number, thing))
        for number in {key[0] for key in bound}:
            pickler.dump(("namespace", number, _attributes(self.namespace(number))))
        pickler.dump(None)

        self.bundles.append([file.getvalue(), *segments])
        self._bindings.update(bound)
        self._objects += found
        relatives = pickler.referred | set(range(first, len(self._objects)))
        for number, thing in enumerate(found, first):
            self._known[id(thing)] = _Known(number, thing, _captured(thing), relatives)

    def _dump_globals(
        self, pickler: _BundlePickler
    ) -> dict[tuple[int, str], tuple[dict[str, Any], Any]]:
        """Write the wanted globals, and those that they want in turn."""
        bound: dict[tuple[int, str], tuple[dict[str, Any], Any]] = {}
        while pickler.wanted:
            want = pickler.wanted.popleft()
            if want.key in bound or self._is_bound(want):
                continue
            value = want.value
            bound[want.key] = (want.module, value)
            if value is _MISSING:
                continue  # a builtin, or not there yet
            if isinstance(value, ModuleType) and want.code is not None:
                for name in submodules_used(want.code, value):
                    pickler.dump(("import", name))
            pickler.dump(("bind", want.namespace, want.name, value))
        return bound


class _Global(NamedTuple):
    """A global that by-value code uses."""

    namespace: int
    module: dict[str, Any]
    name: str
    code: CodeType | None

    @property
    def key(self) -> tuple[int, str]:
        return self.namespace, self.name

    @property
    def value(self) -> Any:
        return self.module.get(self.name, _MISSING)


def _attributes(module: dict[str, Any]) -> dict[str, Any]:
    return {name: module[name] for name in _NAMESPACE_ATTRIBUTES if name in module}


def keep_large_buffers(segments: Segments) -> Callable[[PickleBuffer], bool]:
    """Return a buffer callback that copies large buffers into segments, out of the pickle.

    Only what is larger than a frame: at the other end it arrives in memory of its own that can be
    written to, as an array wants it.
    """

    def keep(buffer: PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes <= FRAME_LIMIT_BYTES:
            return True
        segments.append(bytes(raw))
        return False

    return keep


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no type hints
    """What the two picklers share: by-value code that is known is referred to."""

    def __init__(self, file: BytesIO, book: DefinitionBook, segments: Segments) -> None:
        super().__init__(file, protocol=5, buffer_callback=keep_large_buffers(segments))
        self.book = book

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, (type, FunctionType, CodeType)) or self.book.is_by_reference(obj):
            return NotImplemented
        known = self.book.known(obj)
        if known is not None:
            return self.refer(known.number)
        if isinstance(obj, CodeType):
            return self.by_value(obj, NotImplemented)
        reduced = super().reducer_override(obj)
        if reduced is NotImplemented:
            self.book.note_by_reference(obj)
            return reduced
        if len(reduced) < 6:  # a builtin that pickle itself can't name, such as NoneType
            return reduced
        return self.by_value(obj, reduced)

    def refer(self, number: int) -> Any:
        """Return the reduction of something that is in a bundle."""
        return definition, (number,)

    def by_value(self, obj: Any, reduced: Any) -> Any:
        """Return the reduction of something that is in no bundle."""
        raise NotImplementedError


class _TaskPickler(_Pickler):
    """Pickles what travels with one task: code goes into bundles before it."""

    def by_value(self, obj: Any, reduced: Any) -> Any:
        if isinstance(obj, FunctionType) and self.book.is_seen_first(obj):
            self.book.bind_globals_of(obj)
            return reduce_function(obj, self.book.namespace_number(obj.__globals__))
        return self.refer(self.book.define(obj))


class _BundlePickler(_Pickler):
    """Pickles definitions, and takes note of all that it met on the way."""

    def __init__(self, file: BytesIO, book: DefinitionBook, segments: Segments) -> None:
        super().__init__(file, book, segments)
        self.found: dict[int, Any] = {}
        self.referred: set[int] = set()
        self.wanted: deque[_Global] = deque()

    def refer(self, number: int) -> Any:
        self.referred.add(number)
        return super().refer(number)

    def by_value(self, obj: Any, reduced: Any) -> Any:
        self.found[id(obj)] = obj
        if isinstance(obj, FunctionType):
            self.wanted.extend(self.book.globals_of(obj))
            return reduce_function(obj, self.book.namespace_number(obj.__globals__))
        return reduced if isinstance(obj, CodeType) else untracked(reduced)
