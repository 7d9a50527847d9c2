"""What people call a context, in progress bars and logs, and its set-up, in errors."""

from __future__ import annotations

from functools import partial
from typing import Any

from .._printable import printable

_LIMIT = 200  # characters


def checked_name(name: str | None) -> str:
    """Return the name that the user gives a context; "" for none. Raises TypeError, ValueError."""
    if name is None:
        return ""
    if not isinstance(name, str):
        raise TypeError(f"name={name!r}: it must be a text, or None")
    if not name.strip():
        raise ValueError("name is empty: leave it out, and the context is called by its set-up")
    return _shown(name)


def name_of(called: Any) -> str:
    """Return the qualified name of a function, or that of the class of another callable."""
    while isinstance(called, partial):
        called = called.func
    try:
        name = called.__qualname__
    except Exception:  # it has none, or a strange __getattr__
        name = None
    return _shown(name if isinstance(name, str) and name else type(called).__qualname__)


def name_of_setup(startup: Any) -> str:
    """Return what errors call a set-up; "" for None, which is that of a context without one."""
    name: str = getattr(startup, "__qualname__", "")
    if name or startup is None:
        return name
    from .._code.reprs import describe

    return describe(startup)


def _shown(name: str) -> str:
    name = printable(name)
    return name if len(name) <= _LIMIT else f"{name[: _LIMIT - 1]}…"
