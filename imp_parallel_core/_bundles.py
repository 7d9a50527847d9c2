"""How one bundle is written: some code, and all that it needs in turn, as far as it isn't sent.

A bundle is a row of pickles with one memo, so that what its parts share stays shared. See
:mod:`._definitions` for the entries.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Iterable
from io import BytesIO
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from ._by_value import (
    cell_content,
    global_names,
    is_code,
    is_taken_apart,
    name_slots,
    reduce_class,
    reduce_code_object,
    reduce_function,
    reducer_of,
    submodules_used,
)
from ._protocol import FRAME_LIMIT_BYTES
from ._references import definition
from ._shared_memory import SharedBytes, kept
from ._snapshot import MISSING, Snapshot

if TYPE_CHECKING:
    from ._definitions import DefinitionBook

_NAMESPACE_ATTRIBUTES = ("__name__", "__package__", "__file__", "__path__")

Key = tuple[int, str]
"""A global: the number of its namespace, and its name."""


class Definition(NamedTuple):
    """A function, class or code object that is in a bundle."""

    number: int
    object: Any
    snapshot: Snapshot
    group: list[Definition]  # all that were met when it was pickled, itself included


class Binding(NamedTuple):
    """The value of a global, as it was sent."""

    module: dict[str, Any]
    value: Any
    group: list[Definition]  # all that were met when it was pickled


class BundleWriter:
    """Writes one bundle. Nothing is known to the book before :meth:`commit`.

    The code that a root needs is followed to its end. Parts that were sent and have not changed
    are only referred to, and :attr:`snapshot` gathers all of it, sent now or earlier.
    """

    def __init__(self, book: DefinitionBook) -> None:
        self.snapshot = Snapshot()
        self._book = book
        self._file = BytesIO()
        self._segments: list[bytes | SharedBytes] = []
        self._pickler = _BundlePickler(self)
        self._met: dict[int, Any] = {}  # by id: the code that one dump met
        self._group: list[Definition] = []
        self._found: dict[int, Definition] = {}  # by id: what is defined in this bundle
        self._bound: dict[Key, Binding] = {}
        self._described: set[int] = set()
        self._imported: set[str] = set()
        self._unchanged = book.relied_on()
        self.numbers: set[int] = set()
        """Of the definitions that the root needs, as far as they were followed."""
        self._wanted: deque[Key] = deque()

    def require(self, thing: Any) -> int:
        """Have a function, class or code object defined; return its number."""
        known = self._known(thing)
        self._follow([known] if known else self._dump("object", thing))
        self._bind_wanted()
        return (known or self._found[id(thing)]).number

    def require_globals(self, function: FunctionType) -> None:
        """Have the globals bound that a function uses; the function itself travels otherwise."""
        self._follow_function(function)
        self._bind_wanted()

    def commit(self) -> None:
        """Make what was written a bundle of the book, unless nothing was."""
        if self._file.tell():
            for found in self._found.values():
                self._dump("define", found.number, found.object)
            self._pickler.dump(None)
            bundle = (self._file.getvalue(), *self._segments)
            self._book.add_bundle(bundle, self._found, self._described, self._imported)
        self._book.add_bindings(self._bound)

    # ---- following what code needs

    def _follow(self, group: Iterable[Definition]) -> None:
        pending = list(group)
        while pending:
            found = pending.pop()
            if found.number in self.numbers:
                continue
            self.numbers.add(found.number)
            self.snapshot.add(found.snapshot)
            pending += found.group
            if type(found.object) is FunctionType:
                self._follow_function(found.object)

    def _follow_function(self, function: FunctionType) -> None:
        module, code = function.__globals__, function.__code__
        number = self._book.namespace_number(module)
        if number not in self._described and number not in self._book.described:
            self._described.add(number)
            attributes = {n: module[n] for n in _NAMESPACE_ATTRIBUTES if n in module}
            self._dump("namespace", number, attributes)
        for name in global_names(code):
            self._wanted.append((number, name))
            self._import_submodules(code, module.get(name))
        for cell in function.__closure__ or ():
            self._import_submodules(code, cell_content(cell))

    def _import_submodules(self, code: CodeType, module: Any) -> None:
        if type(module) is not ModuleType:
            return
        for name in submodules_used(code, module):
            if name not in self._imported and name not in self._book.imported:
                self._imported.add(name)
                self._dump("import", name)

    def _bind_wanted(self) -> None:
        while self._wanted:
            key = self._wanted.popleft()
            if key in self._bound:
                continue
            number, name = key
            module = self._book.namespace(number)
            value = module.get(name, MISSING)
            binding = self._book.bindings.get(key)
            if binding is None or not self._is_current(binding, value):
                group: list[Definition] = []
                if value is not MISSING:
                    entry = "bind" if binding is None else "rebind"
                    group = self._dump(entry, number, name, value)
                elif binding is not None:
                    self._dump("unbind", number, name)
                binding = Binding(module, value, group)
            self._bound[key] = binding
            self.snapshot.add_global(module, name, value)
            self._follow(binding.group)

    # ---- what was sent, and is still what it was

    def _known(self, thing: Any) -> Definition | None:
        known = self._book.definitions.get(id(thing))
        return known if known is not None and self._are_unchanged(known.group) else None

    def _is_current(self, binding: Binding, value: Any) -> bool:
        return binding.value is value and self._are_unchanged(binding.group)

    def _are_unchanged(self, group: Iterable[Definition]) -> bool:
        """Whether definitions, and all that they were pickled with, are as they were sent."""
        seen: set[int] = set()
        pending = list(group)
        while pending:
            one = pending.pop()
            if one.number in seen or one.number in self._unchanged:
                continue
            seen.add(one.number)
            latest = self._found.get(id(one.object)) or self._book.definitions[id(one.object)]
            if latest is not one or not one.snapshot.is_current():
                return False
            pending += one.group
        self._unchanged |= seen
        return True

    # ---- pickling

    def _dump(self, *entry: Any) -> list[Definition]:
        """Write an entry; return the definitions that it holds or refers to."""
        self._met = {}
        self._group = group = []
        self._pickler.dump(entry)
        for id_ in self._met:
            found = self._found.get(id_) or self._book.definitions.get(id_)
            if found is not None:
                group.append(found)
        return group

    def met(self, thing: Any) -> None:
        """Take note of a function, class or code object, each time that a pickle comes to it."""
        self._met[id(thing)] = thing

    def reduce(self, thing: Any) -> Any:
        """Return a function's, class's or code object's reduction, the first time."""
        found = self._found.get(id(thing))
        if found is None and (known := self._known(thing)):
            return definition, (known.number,)
        kind = type(thing)
        if kind is CodeType:
            reduced = reduce_code_object(thing)
        else:
            reduced = self._book.reduce(thing)
            if not is_taken_apart(reduced):
                return reduced
            if kind is FunctionType:
                namespace = self._book.namespace_number(thing.__globals__)
                reduced = reduce_function(thing, namespace)
            else:
                name_slots(thing)
                reduced = reduce_class(thing, reduced)
        if found is None:
            self._found[id(thing)] = Definition(
                self._book.next_number(), thing, Snapshot.of(thing), self._group
            )
        return reduced

    def keep_large(self, buffer: pickle.PickleBuffer) -> bool:
        """Copy a buffer that is larger than a frame into a segment of its own."""
        raw = buffer.raw()
        if raw.nbytes <= FRAME_LIMIT_BYTES:
            return True
        self._segments.append(kept(raw))
        return False

    @property
    def file(self) -> BytesIO:
        """What the pickler writes to."""
        return self._file


class _BundlePickler(pickle.Pickler):
    def __init__(self, writer: BundleWriter) -> None:
        super().__init__(writer.file, 5, buffer_callback=writer.keep_large)
        self._writer = writer

    def persistent_id(self, obj: Any) -> None:
        # an observer only: unlike reducer_override, it is also told of what is in the memo
        if is_code(type(obj)):
            self._writer.met(obj)

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if is_code(kind):
            return self._writer.reduce(obj)
        reducer = reducer_of(kind)
        return NotImplemented if reducer is None else reducer(obj)
