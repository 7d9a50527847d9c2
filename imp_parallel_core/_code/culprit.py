"""Find the part of an object that can't be pickled, to name that part in the error."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any

from .functions import cell_content, global_names

_DEPTH_LIMIT = 12
_GLOBAL = " → global "
_OURS = "imp_parallel_core._api"  # what is made there says itself why it can't be pickled


def find_culprit(thing: Any, name: str, can_pickle: Callable[[Any], bool]) -> str:
    """Return the path to the innermost part that can't be pickled, and its type.

    Args:
        thing: an object that can't be pickled.
        name: the name of the object in the path.
        can_pickle: tries to pickle a part, and returns whether it worked.
    """
    return explain(thing, name, can_pickle)[0]


def explain(thing: Any, name: str, can_pickle: Callable[[Any], bool]) -> tuple[str, str]:
    """Return the result of :func:`find_culprit`, and advice: where the part is, what to do."""
    path, visited, where = name, {id(thing)}, ""
    for _ in range(_DEPTH_LIMIT):
        for step, part in _parts_as_far_as_they_show(thing):
            if id(part) not in visited and not can_pickle(part):
                if step.startswith(_GLOBAL):
                    where = _describe_global(step.removeprefix(_GLOBAL), thing)
                else:
                    where = where.replace("It is the", "It is in the", 1)
                path += step
                thing = part
                visited.add(id(part))
                break
        else:
            break
    return f"{path} (of type {type(thing).__qualname__})", _advice(thing, where)


def _describe_global(name: str, function: FunctionType) -> str:
    module = function.__globals__.get("__name__", "?")
    return f"It is the global {name} of {module}, which the function {function.__qualname__} uses."


def _advice(culprit: Any, where: str) -> str:
    lines = [where] if where else []
    if _is_foreign_function(culprit):
        module, name = str(getattr(culprit, "__module__", None)), culprit.__name__
        example = ""
        if getattr(sys.modules.get(module), name, None) is not None:
            example = f", such as lambda *args: {module}.{name}(*args)"
        lines.append(f"It is a function that is not written in Python: wrap it in one{example}.")
    elif where:
        lines.append("Make it in the set-up or in the function, so that each slave has its own.")
    return "".join(f"\n  {line}" for line in lines)


def _is_foreign_function(thing: Any) -> bool:
    """Whether something is a function of an extension module (Boost.Python, nanobind, ctypes)."""
    kind = type(thing)
    if issubclass(kind, type) or kind in (FunctionType, MethodType, functools.partial):
        return False
    with contextlib.suppress(Exception):  # the user's __getattr__ may raise
        is_called = callable(thing) and type(kind.__call__) is not FunctionType
        return is_called and type(thing.__name__) is str
    return False


def _parts_as_far_as_they_show(thing: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    with contextlib.suppress(Exception):  # the user's __repr__ or __getattr__ may raise
        found.extend(_parts(thing))
    return found


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of an object, each with its step in the path."""
    kind = type(thing)  # isinstance() would believe a proxy's __class__
    if any(base.__module__.startswith(_OURS) for base in kind.__mro__):
        return
    if issubclass(kind, dict):
        for key, value in dict.items(thing):
            yield f"[{key!r:.40}]", value
        for key in dict.keys(thing):
            yield f" → key {key!r:.40}", key
    elif issubclass(kind, (list, tuple, set, frozenset)):
        for index, value in enumerate(thing):
            yield f"[{index}]", value
    elif kind is FunctionType:
        yield from _parts_of_function(thing)
    elif kind is MethodType:
        yield ".__self__", thing.__self__
        yield ".__func__", thing.__func__
    elif kind is functools.partial:
        yield ".func", thing.func
        yield ".args", thing.args
        yield ".keywords", thing.keywords
    elif kind is BuiltinMethodType:
        if type(thing.__self__).__name__ != "PyCapsule":  # (pybind11's functions have one)
            yield ".__self__", thing.__self__
    elif issubclass(kind, type):
        if kind.__module__ == "_ctypes":
            return  # no type that ctypes makes can be pickled
        for base in thing.__bases__:
            yield f" → base {base.__qualname__}", base
        for name, value in type.__dict__["__dict__"].__get__(thing).items():
            yield f".{name}", _inside_descriptor(value)
    elif kind is functools._lru_cache_wrapper:
        yield ".__wrapped__", thing.__wrapped__
    elif kind.__module__ == "ctypes":  # a library, whose parts don't help the user
        return
    if not issubclass(kind, type) and kind is not FunctionType:
        yield from _attributes(thing, kind)
        if type(kind).__module__ != "_ctypes":
            yield f" → class {kind.__qualname__}", kind


def _parts_of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        yield f" → captured variable {name!r}", cell_content(cell)
    for name in global_names(function.__code__):
        if name in function.__globals__:
            yield f"{_GLOBAL}{name!r}", function.__globals__[name]
    for index, value in enumerate(function.__defaults__ or ()):
        yield f" → default {index}", value
    for name, value in (function.__kwdefaults__ or {}).items():
        yield f" → default {name!r}", value
    for name, value in function.__dict__.items():
        yield f".{name}", value


def _attributes(thing: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an instance, from its __dict__ and its slots."""
    try:
        attributes = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        attributes = {}
    for name, value in attributes.items():
        yield f".{name}", value
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(thing, name):
                yield f".{name}", getattr(thing, name)


def _inside_descriptor(value: Any) -> Any:
    """Return the function that a method's or property's descriptor holds."""
    if type(value) in (staticmethod, classmethod):
        return value.__func__
    if type(value) is property:
        return next((f for f in (value.fget, value.fset, value.fdel) if f is not None), None)
    return value.func if type(value) is functools.cached_property else value
