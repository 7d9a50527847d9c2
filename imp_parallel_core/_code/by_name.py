"""Objects that pickle finds by name, as it finds functions and classes: new types, sentinels.

The ``__reduce__`` of such an object returns the name of the global that holds it. If the script
defines that global, no module on the slave has it. Then the object is taken apart, and is a
definition, so that it stays one object: ``value is MISSING`` holds on the slave, too.
"""

from __future__ import annotations

import copyreg
import pickle
import typing
from types import FunctionType
from typing import Any

from .reducers import is_importable
from .references import make_sentinel, make_typing

_OPTIONS = {  # options of the constructors in typing, and the attributes that hold them
    "bound": "__bound__",
    "covariant": "__covariant__",
    "contravariant": "__contravariant__",
    "infer_variance": "__infer_variance__",
    "default": "__default__",
}
_TYPING = [
    getattr(typing, name)
    for name in ("NewType", "ParamSpec", "TypeVarTuple", "TypeAliasType")
    if hasattr(typing, name)  # the last is new in Python 3.12
]
_UNSET = (None, False, getattr(typing, "NoDefault", None))  # the last is new in Python 3.13


def _is_typing(kind: type) -> bool:
    return any(kind is one for one in _TYPING)


def may_have_name(kind: type) -> bool:
    """Whether objects of a type may be pickled by name. :func:`reduce_by_name` finds out."""
    if _is_typing(kind):
        return True
    if kind in copyreg.dispatch_table or issubclass(kind, type):
        return False
    return FunctionType in (type(kind.__reduce__), type(kind.__reduce_ex__))


def reduce_by_name(thing: Any) -> Any:
    """Return the reduction of an object whose type :func:`may_have_name`.

    It is a name, if slaves can import the object by that, or a tuple of how to make the object.
    """
    reduced = thing.__reduce_ex__(5)
    if type(reduced) is not str or _can_be_imported(thing, reduced):
        return reduced
    kind = type(thing)
    if _is_typing(kind):
        return make_typing, (kind, *_arguments_of(thing, kind), thing.__module__)
    return make_sentinel, (kind,), thing.__getstate__()


def is_defined(reduced: Any) -> bool:
    """Whether a reduction is that of an object that slaves can't import by name."""
    return type(reduced) is tuple and (reduced[0] is make_typing or reduced[0] is make_sentinel)


def _can_be_imported(thing: Any, name: str) -> bool:
    try:
        module = pickle.whichmodule(thing, name)  # type: ignore[attr-defined]  # as pickle does
    except pickle.PicklingError:  # since Python 3.14, if no module has the object by that name
        return False
    return is_importable(thing, module, name)


def _arguments_of(thing: Any, kind: type) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments with which an object of typing was made."""
    if kind is typing.NewType:
        return (thing.__qualname__, thing.__supertype__), {}
    if kind.__name__ == "TypeAliasType":
        return (thing.__name__, thing.__value__), {"type_params": thing.__type_params__}
    found = {option: getattr(thing, name, None) for option, name in _OPTIONS.items()}
    is_set = {o: not any(value is one for one in _UNSET) for o, value in found.items()}
    return (thing.__name__,), {o: value for o, value in found.items() if is_set[o]}
