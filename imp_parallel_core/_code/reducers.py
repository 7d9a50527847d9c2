"""How a function or class that no module on the slave holds is taken apart for a pickle.

cloudpickle decides what must travel by value, and takes classes apart. Functions are taken apart
here, for one reason: their globals must stay outside of the pickle, so that all functions of one
module share one dict on the slave (a set-up that sets ``global MODEL`` is seen by the tasks).
"""

from __future__ import annotations

import contextlib
import copyreg
import dis
import functools
import importlib
import marshal
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import cloudpickle

from .references import (
    load_code,
    make_cached_property,
    make_cell,
    make_class,
    make_exception,
    make_function,
    make_lru_cache,
    set_cell,
    set_class_state,
    set_enum_state,
    set_function_state,
)

_GLOBAL_OPERATIONS = frozenset(
    {"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
)
_ENUM_INTERNALS = ("_value_", "_name_", "__objclass__", "_sort_order_")


def is_code(kind: type) -> bool:
    """Whether objects of a type are functions, classes or code (whatever they say that they are).

    Asked of every object that is pickled.
    """
    return kind is FunctionType or kind is CodeType or issubclass(kind, type)


def reduce_by_value(thing: Any) -> Any:
    """Return cloudpickle's reduction of a function or class."""
    return cloudpickle.Pickler(BytesIO(), 5).reducer_override(thing)


def is_taken_apart(reduced: Any) -> bool:
    """Whether a reduction is one by value (a type such as NoneType has a shorter one)."""
    return reduced is not NotImplemented and len(reduced) == 6


# ---- functions


def has_no_name(function: FunctionType) -> bool:
    """Whether a function is a lambda or a local one, perhaps of a comprehension.

    The methods of a local class are not: the class has names for them, and it shares with them
    the variables that they close over.
    """
    name = function.__qualname__
    *around, _ = name.rpartition("<locals>.")[2].split(".")
    return "<" in name and all(part.startswith("<") for part in around)


def codes_within(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those of the functions and classes that are defined inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_within(constant)


def global_names(code: CodeType) -> list[str]:
    """Return the names of the globals that a code object may use."""
    names = {
        instruction.argval: None
        for part in codes_within(code)
        for instruction in dis.get_instructions(part)
        if instruction.opname in _GLOBAL_OPERATIONS
    }
    names.pop("__builtins__", None)  # each process has its own
    return list(names)


def submodules_used(code: CodeType, module: ModuleType) -> list[str]:
    """Return the loaded submodules of a package that a code object may reach through it.

    After ``import xml.etree.ElementTree``, a function holds only ``xml`` in its globals; on the
    slave somebody must import the rest.
    """
    attributes = {name for part in codes_within(code) for name in part.co_names}
    prefix = module.__name__ + "."
    return [
        name
        for name in list(sys.modules)
        if name.startswith(prefix) and attributes.issuperset(name[len(prefix) :].split("."))
    ]


def cell_content(cell: CellType) -> Any:
    """Return the value of a variable that a function closes over, or EMPTY."""
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY


EMPTY = object()
"""Stands for a closure's variable that has no value (yet)."""


def reduce_function(
    function: FunctionType, namespace: int, steps: Sequence[object] = ()
) -> tuple[Any, ...]:
    """Take a function apart (as ``__reduce_ex__`` would), without its globals.

    Args:
        function: the function.
        namespace: the number of its globals.
        steps: objects whose rebuilding does what is to be done before the function is called.
    """
    code = function.__code__
    state: dict[str, Any] = {"__module__": function.__module__}
    # the rest is as the code says, or not there
    if function.__name__ != code.co_name:
        state["__name__"] = function.__name__
    if function.__qualname__ != code.co_qualname:
        state["__qualname__"] = function.__qualname__
    first = code.co_consts[0] if code.co_consts else None
    if function.__doc__ is not (first if type(first) is str else None):
        state["__doc__"] = function.__doc__
    if function.__defaults__:
        state["__defaults__"] = function.__defaults__
    if function.__kwdefaults__:
        state["__kwdefaults__"] = function.__kwdefaults__
    if function.__dict__:
        state["__dict__"] = function.__dict__
    if annotations := _annotations(function):
        state["__annotations__"] = annotations
    if type_parameters := getattr(function, "__type_params__", ()):
        state["__type_params__"] = type_parameters
    if steps:
        state["__globals__"] = steps
    arguments = (namespace, code, function.__closure__)
    return make_function, arguments, state, None, None, set_function_state


def _annotations(function: FunctionType) -> dict[str, Any]:
    try:
        return function.__annotations__
    except Exception:  # since Python 3.14 this runs code, which may name what isn't there
        return {}


def reduce_code_object(code: CodeType) -> tuple[Any, ...]:
    """Take a code object apart: both ends run the same version of Python, so marshal may do it."""
    return load_code, (marshal.dumps(code),)


# ---- classes


def name_slots(kind: type) -> None:
    """Give a class the ``__slotnames__`` that it gets when an instance is pickled or copied.

    It must not get them later: it would look changed, and be sent as another class than the one
    that its methods already know.
    """
    with contextlib.suppress(Exception):  # whoever pickles an instance will be told
        copyreg._slotnames(kind)  # type: ignore[attr-defined]  # private; as pickle itself calls it


def reduce_class(kind: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return cloudpickle's reduction of a class, mended where it would lose something.

    The identity across pickles is taken away: cloudpickle would return one class per process for
    all pickles of it. Here each context has its own, since the methods' globals are the context's.
    The tracker's id is the last but one argument of both of its class builders (cloudpickle 3; None
    means "untracked"); a test holds it to that.
    """
    if type(kind).__module__ == "_ctypes":
        raise TypeError(f"{kind.__qualname__} is a type of ctypes: only a module can bring it")
    build, arguments, state, _, _, set_state = reduced
    arguments = (*arguments[:-2], None, arguments[-1])
    if "_member_map_" in kind.__dict__:
        members: dict[str, Any] = dict(kind.__members__)  # type: ignore[attr-defined]  # an Enum
        values = {name: member._value_ for name, member in members.items()}
        arguments = (*arguments[:3], values, *arguments[4:])
        for name in members:  # of two names of one member, cloudpickle knows one
            state[0].pop(name, None)
        held = {name: _held(member) for name, member in members.items()}
        return build, arguments, (set_state, state, held), None, None, set_enum_state
    body = {**arguments[3], "__qualname__": kind.__qualname__}
    bases = arguments[2]
    for name in ("__slots__", "__orig_bases__", "__class__"):  # only a class body can set these
        if name in kind.__dict__:
            body[name] = kind.__dict__[name]
    state[0].update(_same_as_a_base_has(kind))
    state[0].pop("__class__", None)
    if NamedTuple in bases:  # it would make another class, of which this one is to be
        bases = kind.__bases__
    if type(kind) is type:  # cloudpickle need not be imported to build an ordinary class
        return make_class, (arguments[1], bases, body), state[0], None, None, set_class_state
    return build, (*arguments[:2], bases, body, *arguments[4:]), state, None, None, set_state


def _same_as_a_base_has(kind: type) -> dict[str, Any]:
    """Return the attributes that cloudpickle leaves to inheritance, since a base has the same.

    They may hide those of another base, and the base may be given others.
    """
    return {
        name: value
        for name, value in kind.__dict__.items()
        if any(name in base.__dict__ and base.__dict__[name] is value for base in kind.__bases__)
    }


def _held(member: Any) -> dict[str, Any]:
    """Return what an enumeration's own ``__init__`` or ``__new__`` gave to a member."""
    return {n: value for n, value in member.__dict__.items() if n not in _ENUM_INTERNALS}


# ---- other things that pickle can't take apart


def _reduce_cell(cell: CellType) -> tuple[Any, ...]:
    # first the cell, then its value, which may be what closes over it
    content = cell_content(cell)
    if content is EMPTY:
        return make_cell, ()
    return make_cell, (), (content,), None, None, set_cell


def _reduce_lru_cache(function: Any) -> Any:
    if is_importable(function, function.__module__, function.__qualname__):
        return NotImplemented
    parameters = function.cache_parameters()
    return make_lru_cache, (function.__wrapped__, parameters["maxsize"], parameters["typed"])


def is_importable(thing: Any, module: str, name: str) -> bool:
    """Whether a module on the slave has a name for something."""
    if module == "__main__" or module not in sys.modules:
        return False
    if any(module == n or module.startswith(n + ".") for n in registered_by_value):
        return False
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is thing


registered_by_value: set[str] = cloudpickle.cloudpickle._PICKLE_BY_VALUE_MODULES
"""The names of the modules that the user has told to send by value. Looked at for every task, so
without the copy that cloudpickle's own function makes."""


def _reduce_module(module: ModuleType) -> Any:
    """Take a module apart; one that can be imported is its name, with no word of cloudpickle's."""
    reduced = _CLOUDPICKLES[ModuleType](module)
    if reduced[0] is cloudpickle.cloudpickle.subimport:
        return importlib.import_module, reduced[1]
    return reduced


def _reduce_cached_property(found: functools.cached_property[Any]) -> tuple[Any, ...]:
    return make_cached_property, (found.func, found.attrname)


def _reduce_exception(exc: BaseException) -> Any:
    """Take an exception apart so that it can be rebuilt, whatever its ``__init__`` takes."""
    reduced: Any = exc.__reduce__()
    build, arguments, *state = reduced
    if build is not type(exc):
        return build, arguments, *state
    return make_exception, (build, arguments), *state


def _is_initialised_in_python(kind: Any) -> bool:
    return FunctionType in (type(kind.__init__), type(kind.__new__))


_OTHERS: dict[type, Callable[[Any], Any]] = {
    CellType: _reduce_cell,
    functools._lru_cache_wrapper: _reduce_lru_cache,
    functools.cached_property: _reduce_cached_property,
    ModuleType: _reduce_module,
    weakref.WeakKeyDictionary: lambda found: (weakref.WeakKeyDictionary, (dict(found),)),
}
# by module and name, since dataclasses take a while to import
_SENTINELS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("dataclasses", "_MISSING_TYPE"): lambda _: "MISSING",
    ("dataclasses", "_KW_ONLY_TYPE"): lambda _: "KW_ONLY",
}
_CLOUDPICKLES = cloudpickle.Pickler.dispatch_table.maps[0]


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """Return what takes objects of a type apart, if pickle itself can't."""
    found: Callable[[Any], Any] | None = (
        _OTHERS.get(kind)
        or _CLOUDPICKLES.get(kind)
        or _SENTINELS.get((kind.__module__, kind.__qualname__))
    )
    if (
        found is None
        and issubclass(kind, BaseException)
        and type(kind.__reduce__) is not FunctionType  # what it says itself is right
        and _is_initialised_in_python(kind)
    ):
        return _reduce_exception
    return found
