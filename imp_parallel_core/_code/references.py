"""How a pickle refers to code that travelled before it.

A pickled task calls ``definition(7)`` where it would hold the code of a class. Both ends look the
number up in the table of the context. A slave finds the class that it has loaded, and the master
finds the original class, so that an instance in a result is one of the original class.
"""

from __future__ import annotations

import importlib
import marshal
import pickle
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from importlib import import_module
from types import CellType, CodeType, FunctionType, new_class

from .._explained import explained
from .._light_typing import Any, Protocol
from .._wire.shared_memory import open_segment


class Definitions(Protocol):
    """The table of definitions of one context."""

    def definition(self, number: int) -> Any:
        """Return the function, class or code object of that number."""

    def namespace(self, number: int) -> dict[str, Any]:
        """Return the dict that the functions of one module share as their globals."""


_active = threading.local()


class resolving:  # lower case, like contextlib's functions, which would cost more than a task
    """Let pickles refer to definitions if this thread loads them inside ``with``."""

    __slots__ = ("_definitions", "_previous")

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def __enter__(self) -> None:
        self._previous = getattr(_active, "definitions", None)
        _active.definitions = self._definitions

    def __exit__(self, *exc_info: object) -> None:
        _active.definitions = self._previous


def resolve_from_now_on(definitions: Definitions | None) -> None:
    """Let pickles that this thread loads refer to these definitions from now on; None for none."""
    _active.definitions = definitions


_MODULE = __name__.encode()


def refers(pickled: bytes) -> bool:
    """Whether a pickle may refer to definitions, so that it must be loaded inside ``resolving``."""
    return _MODULE in pickled


def unpickle_task(segments: Sequence[Any], definitions: Definitions) -> Any:
    """Return a task's callable and its arguments. Call this while pickles refer to definitions."""
    data = segments[0]
    if len(segments) == 1 and type(data) is bytes:
        loaded = pickle.loads(data)
    else:
        data, *buffers = map(open_segment, segments)
        loaded = pickle.loads(data, buffers=buffers)
    if len(loaded) == 2:
        return loaded
    number, state, arguments = loaded  # _definitions.plain_tasks has written these
    made = definitions.definition(number)
    if state is not None:
        made = object.__new__(made)
        made.__dict__.update(state)
    return made, arguments


# Pickles name the functions below, which run while a pickle is loaded.


def definition(number: int) -> Any:
    """Return the definition of that number."""
    return _active.definitions.definition(number)


def have_done(made: Any, steps: object) -> None:
    """Do nothing: loading the steps has done them."""


def change_path(
    path: list[str], new: list[str], old: list[str], facts: dict[str, list[int]], cwd: str
) -> None:
    """Change ``sys.path`` as the master has changed its own.

    Entries of tasks and set-ups stay where they are. Entries that the master has removed are tried
    last, since tasks that were added before may need them.

    Args:
        path: the master's path.
        new: the entries that it did not have before.
        old: the entries that it no longer has.
        facts: what tells the new ones from others at the same paths; see :mod:`.same_files`. A path
            here that another user may have made is left out.
        cwd: the master's current folder.
    """
    from .same_files import usable

    used, refusals = usable(new, facts, cwd)
    for entry, reason in refusals.items():
        text = f"{entry} is not imported from, since somebody else may be behind it: {reason}"
        text = explained(text, "untrusted-file", once=True)
        print(f"imp_parallel: {text}", file=sys.stderr)
    path, new = [entry for entry in path if entry not in refusals], used
    here = [entry for entry in sys.path if entry not in new and entry not in old]
    at = len(here)
    for entry in reversed(path):  # each new entry is put before the one that follows it
        if entry in new:
            here.insert(at, entry)
        elif entry in here:
            at = here.index(entry)
    sys.path[:] = here + [entry for entry in sys.path if entry in old]
    importlib.invalidate_caches()  # a folder may be new


def bytes_of(found: Any) -> bytes:
    """Return bytes that travelled out of band, as an object that nothing else refers to.

    An array that is not contiguous is pickled as such bytes. When numpy rebuilds it, the array
    takes over the memory of the bytes, and can be written to.
    """
    return bytes(memoryview(found))  # bytes(found) would be the same object, were it bytes


def text_of(found: Any) -> str:
    """Return a text whose bytes travelled out of band."""
    return found if type(found) is str else str(found, "utf-8", "surrogatepass")


def bytearray_of(found: Any) -> bytearray:
    """Return a bytearray whose bytes travelled out of band."""
    return bytearray(found)


def load_code(marshalled: bytes) -> CodeType:
    """Return a code object."""
    code: CodeType = marshal.loads(marshalled)  # noqa: S302 - as trusted as a pickle: it is the master's
    return code


def make_class(name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
    """Return an ordinary class, with attributes that only a class body can set."""
    return new_class(name, bases, {}, lambda namespace: namespace.update(body))


def set_class_state(kind: type, attributes: dict[str, Any]) -> None:
    """Give a class its attributes."""
    for name, value in attributes.items():
        setattr(kind, name, value)
    if "__firstlineno__" in attributes:  # Python 3.13 deletes it when an attribute is set
        setattr(kind, "__firstlineno__", attributes["__firstlineno__"])  # noqa: B010 - mypy: no such attribute in 3.11


def make_function(
    namespace: int, code: CodeType, closure: tuple[CellType, ...] | None
) -> FunctionType:
    """Return a function whose globals are those of its module in this context."""
    return FunctionType(code, _active.definitions.namespace(namespace), closure=closure)


def set_function_state(function: FunctionType, state: dict[str, Any]) -> None:
    """Give a function its attributes."""
    state.pop("__globals__", None)  # loading these steps has bound the globals
    function.__dict__.update(state.pop("__dict__", ()))
    for name, value in state.items():
        setattr(function, name, value)


def make_cell() -> CellType:
    """Return a variable that functions close over, without a value."""
    return CellType()


def set_cell(cell: CellType, value: tuple[Any]) -> None:
    """Give a closure's variable its value."""
    (cell.cell_contents,) = value


def set_enum_state(enum: Any, state: tuple[Any, Any, dict[str, dict[str, Any]]]) -> None:
    """Give an enumeration and its members their attributes."""
    set_class_state, class_state, members = state
    set_class_state(enum, class_state)
    for name, attributes in members.items():
        enum.__members__[name].__dict__.update(attributes)


def make_lru_cache(function: Any, maxsize: int | None, typed: bool) -> Any:
    """Return a function with an empty cache."""
    return lru_cache(maxsize, typed)(function)


def make_cached_property(function: Any, name: str) -> cached_property[Any]:
    """Return a property of that name."""
    made = cached_property(function)
    made.attrname = name
    return made


def make_typing(kind: Any, arguments: tuple[Any, ...], options: dict[str, Any], module: str) -> Any:
    """Return a new type, a type variable or the like."""
    made = kind(*arguments, **options)
    with suppress(AttributeError, TypeError):  # some versions of Python don't allow it
        made.__module__ = module
    return made


def make_exception(kind: Any, arguments: tuple[Any, ...]) -> Any:
    """Return an exception without its state."""
    try:
        return kind(*arguments)
    except Exception:  # __init__ takes other arguments than it passes to its base
        made = kind.__new__(kind, *arguments)
        built_in = next(base for base in kind.__mro__ if base.__module__ == "builtins")
        built_in.__init__(made, *arguments)
        return made


def make_sentinel(kind: Any) -> Any:
    """Return an object that the master finds by name, without its state."""
    try:
        return kind.__new__(kind)
    except TypeError:  # __new__ takes arguments, which are not known
        return object.__new__(kind)


# ---- the steps of a bundle, which a runner's LoadedDefinitions carry out


def define(number: int, thing: Any) -> None:
    """Let pickles refer to a function, a class or a code object by its number."""
    _active.definitions.define(number, thing)


def define_named(number: int, pickled: bytes) -> None:
    """Let tasks refer to an importable object by a number."""
    _active.definitions.define_named(number, pickled)


def bind(value: Any, key: tuple[int, str]) -> None:
    """Give a global its value."""
    _active.definitions.bind(value, key)


def rebind(value: Any, key: tuple[int, str]) -> None:
    """Give a global another value from this bundle on."""
    _active.definitions.rebind(value, key)


def unbind(key: tuple[int, str]) -> None:
    """Remove a global from this bundle on."""
    _active.definitions.unbind(key)


def describe(namespace: int, attributes: dict[str, Any]) -> None:
    """Give a module's globals the name of the module and the like."""
    _active.definitions.namespace(namespace).update(attributes)


def import_submodule(name: str) -> None:
    """Import a module that code reaches through its package."""
    # the master only guesses that the code needs it; if so, the task will fail with a clear error
    with suppress(ImportError):
        import_module(name)
