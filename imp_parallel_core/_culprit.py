"""Find the part of an object that can't be pickled, to name it in the error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from ._by_value import cell_contents, global_names

_DEPTH_LIMIT = 8


def find_culprit(thing: Any, name: str, can_pickle: Callable[[Any], bool]) -> str:
    """Return the path to the innermost part that can't be pickled, and its type.

    Args:
        thing: an object that can't be pickled.
        name: what to call it.
        can_pickle: tries to pickle a part.
    """
    path, visited = name, {id(thing)}
    for _ in range(_DEPTH_LIMIT):
        for step, part in _parts(thing):
            if id(part) not in visited and not can_pickle(part):
                path += step
                thing = part
                visited.add(id(part))
                break
        else:
            break
    return f"{path} (of type {type(thing).__qualname__})"


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds, with the way to it."""
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield f"[{key!r:.40}]", value
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for index, value in enumerate(thing):
            yield f"[{index}]", value
    elif isinstance(thing, FunctionType):
        for name, value in zip(thing.__code__.co_freevars, cell_contents(thing), strict=True):
            yield f" → captured variable {name!r}", value
        for name in global_names(thing.__code__):
            if name in thing.__globals__:
                yield f" → global {name!r}", thing.__globals__[name]
        for index, value in enumerate(thing.__defaults__ or ()):
            yield f" → default {index}", value
    elif hasattr(thing, "__self__"):
        yield ".__self__", thing.__self__
    else:
        for name, value in getattr(thing, "__dict__", {}).items():
            yield f".{name}", value
