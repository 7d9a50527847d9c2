"""Annotations, which code on the slave finds as on the master.

Since Python 3.14, an annotation is evaluated when it is first asked for, and may hold a name that
is not defined: that of a class below, or one that only type checkers see.
"""

from __future__ import annotations

import sys
import typing
from types import FunctionType
from typing import Any

ARE_LAZY = sys.version_info >= (3, 14)


def annotations_of(thing: Any) -> dict[str, Any]:
    """Return the annotations of a function or a class; their texts if they can't be evaluated."""
    try:
        found: dict[str, Any] = thing.__annotations__
    except Exception:  # they run the user's code
        return _texts(thing)
    return found


def _texts(thing: Any) -> dict[str, Any]:
    import annotationlib  # type: ignore[import-not-found,unused-ignore]  # new in Python 3.14

    try:
        found: dict[str, Any] = annotationlib.get_annotations(
            thing, format=annotationlib.Format.STRING
        )
    except Exception:  # a decorator may have put code of its own there
        return {}
    return found


def with_evaluated_annotations(function: FunctionType) -> FunctionType:
    """Return a copy of a function whose annotations can be read, if only as texts."""
    made = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__dict__.update(function.__dict__)
    for name in ("__module__", "__qualname__", "__doc__", "__type_params__"):
        setattr(made, name, getattr(function, name))
    made.__annotations__ = annotations_of(function)
    return made


def keep_class_annotations(kind: type, state: dict[str, Any]) -> None:
    """Put the annotations of a class into the attributes that cloudpickle takes from it.

    cloudpickle leaves them out as long as nobody has asked for them. They are evaluated here, and
    the class keeps them, since it would look changed if it got them later.
    """
    annotations = annotations_of(kind)
    state.pop("__annotations_cache__", None)
    if annotations:
        state.setdefault("__annotations__", annotations)


def reduce_forward_reference(found: Any) -> tuple[Any, ...]:
    """Take apart what a dataclass, say, has for an annotation that could not be evaluated yet.

    It has the globals of its module, which stay here.
    """
    names = ("__owner__", "__forward_module__", "__forward_is_class__", "__extra_names__")
    state = {name: getattr(found, name) for name in names}
    return typing.ForwardRef, (found.__forward_arg__,), (None, state)
