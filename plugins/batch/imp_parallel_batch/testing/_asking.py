"""Calls of a batch system's methods by the checks: an exception is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from .._plugin_calls import PluginFault, call, call_for_all, name_of

_P = ParamSpec("_P")
_R = TypeVar("_R")


def told(method: Callable[_P, _R], *args: _P.args, **more: _P.kwargs) -> _R:
    """Return what a method returns that may not fail. Raises AssertionError."""
    try:
        return call(method, *args, **more)
    except PluginFault as problem:
        raise AssertionError(str(problem)) from problem
    except ValueError as problem:
        raise AssertionError(f"{name_of(method)} failed: ValueError: {problem}") from problem


def read(method: Callable[_P, _R], *args: _P.args, **more: _P.kwargs) -> _R | None:
    """Return what a method reads; None if it raises ValueError. Raises AssertionError."""
    try:
        return call(method, *args, **more)
    except PluginFault as problem:
        raise AssertionError(str(problem)) from problem
    except ValueError:
        return None


def read_all(
    method: Callable[_P, Iterable[_R]], *args: _P.args, **more: _P.kwargs
) -> list[_R] | None:
    """Return all that a method reads; None if it raises ValueError. Raises AssertionError."""
    try:
        return call_for_all(method, *args, **more)
    except PluginFault as problem:
        raise AssertionError(str(problem)) from problem
    except ValueError:
        return None
