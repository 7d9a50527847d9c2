"""Calls of a plugin's methods: one that has a mistake is named, and costs little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import ParamSpec, TypeVar

from imp_parallel_core import LaunchError

_P = ParamSpec("_P")
_R = TypeVar("_R")


class PluginFault(LaunchError, ValueError):
    """A plugin's method raised what it may not raise, or returned what it may not return.

    It is a ValueError too: an answer that a plugin fails to read is one that is not understood.
    """


def call(method: Callable[_P, _R], *args: _P.args, **more: _P.kwargs) -> _R:
    """Return what a plugin's method returns. Raises PluginFault for all but a ValueError."""
    with _naming(method):
        return method(*args, **more)


def call_for(kind: type[_R], method: Callable[_P, _R], *args: _P.args, **more: _P.kwargs) -> _R:
    """Return what a plugin's method returns, which is of this kind. Raises PluginFault."""
    result = call(method, *args, **more)
    if not isinstance(result, kind):
        text = f"{name_of(method)} returned a {type(result).__name__}, which is no {kind.__name__}"
        raise PluginFault(text)
    return result


def call_for_all(method: Callable[_P, Iterable[_R]], *args: _P.args, **more: _P.kwargs) -> list[_R]:
    """Return all that a plugin's method returns or yields. Raises PluginFault."""
    with _naming(method):
        return list(method(*args, **more))


@contextmanager
def _naming(method: Callable[..., object]) -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise
    except Exception as problem:
        frame = extract_tb(problem.__traceback__)[-1]
        place = f"{Path(frame.filename).name}, line {frame.lineno}"
        text = f"{name_of(method)} failed: {type(problem).__name__}: {problem} ({place})"
        raise PluginFault(text) from problem


def name_of(method: Callable[..., object]) -> str:
    """Return what messages call a plugin's method."""
    owner = getattr(method, "__self__", None)
    name = getattr(method, "__name__", repr(method))
    return f"{type(owner).__name__}.{name}()" if owner is not None else f"{name}()"
