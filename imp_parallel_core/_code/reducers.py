"""How classes, and other objects that pickle can't take apart, are taken apart for a pickle.

cloudpickle decides which functions and classes travel by value, and takes classes apart.
:mod:`.functions` takes functions apart.
"""

from __future__ import annotations

import contextlib
import copyreg
import dataclasses  # cloudpickle imports it, too
import functools
import importlib
import sys
import weakref
from collections.abc import Callable
from io import BytesIO
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, ForwardRef, NamedTuple

import cloudpickle

from .annotations import (
    ARE_LAZY,
    keep_class_annotations,
    reduce_forward_reference,
    with_evaluated_annotations,
)
from .functions import EMPTY, cell_content
from .references import (
    make_cached_property,
    make_cell,
    make_class,
    make_exception,
    make_lru_cache,
    set_cell,
    set_class_state,
    set_enum_state,
)

_ENUM_INTERNALS = ("_value_", "_name_", "__objclass__", "_sort_order_")


def is_code(kind: type) -> bool:
    """Whether objects of a type are functions, classes or code, whatever their __class__ says.

    Called for every object that is pickled.
    """
    return kind is FunctionType or kind is CodeType or issubclass(kind, type)


def reduce_by_value(thing: Any) -> Any:
    """Return cloudpickle's reduction of a function or class, with all of its annotations."""
    reduce = cloudpickle.Pickler(BytesIO(), 5).reducer_override
    if not ARE_LAZY:
        return reduce(thing)
    try:
        reduced = reduce(thing)
    except Exception:
        if type(thing) is not FunctionType:
            raise
        return reduce(with_evaluated_annotations(thing))
    if is_taken_apart(reduced) and issubclass(type(thing), type):
        keep_class_annotations(thing, reduced[2][0])
    return reduced


def is_taken_apart(reduced: Any) -> bool:
    """Whether a reduction is by value. A type such as NoneType has a shorter one."""
    return reduced is not NotImplemented and len(reduced) == 6


# ---- classes


def name_slots(kind: type) -> None:
    """Give a class the ``__slotnames__`` that it gets when an instance is pickled or copied.

    If the class got them later, it would look changed, and would be sent as another class than the
    one that its methods already know.
    """
    with contextlib.suppress(Exception):  # pickling an instance will raise it again
        copyreg._slotnames(kind)  # type: ignore[attr-defined]  # private; as pickle itself calls it


def reduce_class(kind: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return cloudpickle's reduction of a class, changed where it would lose something.

    cloudpickle would give all pickles of a class one class per process. Here each context has its
    own class, since the globals of its methods are the context's. So the id for cloudpickle's
    tracker becomes None, which means "untracked". It is the last but one argument of both class
    builders of cloudpickle 3; a test makes sure of that.
    """
    if type(kind).__module__ == "_ctypes":
        raise TypeError(f"{kind.__qualname__} is a type of ctypes: only a module can bring it")
    build, arguments, state, _, _, set_state = reduced
    arguments = (*arguments[:-2], None, arguments[-1])
    if "_member_map_" in kind.__dict__:
        members: dict[str, Any] = dict(kind.__members__)  # type: ignore[attr-defined]  # an Enum
        values = {name: member._value_ for name, member in members.items()}
        arguments = (*arguments[:3], values, *arguments[4:])
        for name in members:  # cloudpickle leaves out the second name of a member
            state[0].pop(name, None)
        held = {name: _held(member) for name, member in members.items()}
        return build, arguments, (set_state, state, held), None, None, set_enum_state
    body = {**arguments[3], "__qualname__": kind.__qualname__}
    bases = arguments[2]
    for name in ("__slots__", "__orig_bases__", "__class__"):  # only a class body can set these
        if name in kind.__dict__:
            body[name] = kind.__dict__[name]
    state[0].update(_same_as_a_base_has(kind))
    for name in ("__class__", "__annotate_func__"):  # (the slave's class has none of its own)
        state[0].pop(name, None)
    if NamedTuple in bases:  # as a base, it would make another class and derive this one from it
        bases = kind.__bases__
    if type(kind) is type:  # building an ordinary class does not need cloudpickle's import
        return make_class, (arguments[1], bases, body), state[0], None, None, set_class_state
    return build, (*arguments[:2], bases, body, *arguments[4:]), state, None, None, set_state


def _same_as_a_base_has(kind: type) -> dict[str, Any]:
    """Return the attributes that cloudpickle leaves out, since a base has the same values.

    They may hide the attributes of another base, and the base may change.
    """
    return {
        name: value
        for name, value in kind.__dict__.items()
        if any(name in base.__dict__ and base.__dict__[name] is value for base in kind.__bases__)
    }


def _held(member: Any) -> dict[str, Any]:
    """Return the attributes that an enumeration's own ``__init__`` or ``__new__`` has set."""
    return {n: value for n, value in member.__dict__.items() if n not in _ENUM_INTERNALS}


# ---- other things that pickle can't take apart


def _reduce_cell(cell: CellType) -> tuple[Any, ...]:
    # the cell comes first: its value may be the function that closes over it
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
    """Whether slaves can import something from a module by its name."""
    if module == "__main__" or module not in sys.modules:
        return False
    if any(module == n or module.startswith(n + ".") for n in registered_by_value):
        return False
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is thing


registered_by_value: set[str] = cloudpickle.cloudpickle._PICKLE_BY_VALUE_MODULES
"""The names of the modules that the user wants to travel by value. This is cloudpickle's own set
and not the copy that its function returns, since each task looks at it."""


def _reduce_module(module: ModuleType) -> Any:
    """Take a module apart. One that can be imported becomes its name, without cloudpickle."""
    reduced = _CLOUDPICKLES[ModuleType](module)
    if reduced[0] is cloudpickle.cloudpickle.subimport:
        return importlib.import_module, reduced[1]
    return reduced


def _reduce_cached_property(found: functools.cached_property[Any]) -> tuple[Any, ...]:
    return make_cached_property, (found.func, found.attrname)


def _reduce_exception(exc: BaseException) -> Any:
    """Take an exception apart so that it can be rebuilt, whatever arguments ``__init__`` takes."""
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
    type(dataclasses.MISSING): lambda _: "MISSING",
    type(dataclasses.KW_ONLY): lambda _: "KW_ONLY",
    ModuleType: _reduce_module,
    weakref.WeakKeyDictionary: lambda found: (weakref.WeakKeyDictionary, (dict(found),)),
}
if ARE_LAZY:
    _OTHERS[ForwardRef] = reduce_forward_reference
_CLOUDPICKLES = cloudpickle.Pickler.dispatch_table.maps[0]


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """Return the function that takes objects of a type apart; None if pickle itself can."""
    found: Callable[[Any], Any] | None = _OTHERS.get(kind) or _CLOUDPICKLES.get(kind)
    if (
        found is None
        and issubclass(kind, BaseException)
        and type(kind.__reduce__) is not FunctionType  # a reduction of its own is right
        and _is_initialised_in_python(kind)
    ):
        return _reduce_exception
    return found
