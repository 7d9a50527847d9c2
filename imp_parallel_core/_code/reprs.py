"""Short descriptions of the user's objects, for messages: bounded, printable, on one line.

The code of an object may raise anything, ``SystemExit`` too. All of that is caught but for a
``KeyboardInterrupt``, which is a Ctrl-C of the user's.
"""

from __future__ import annotations

import itertools
import reprlib
from types import FunctionType
from typing import Any

from .._printable import printable

_LENGTH = 200  # characters of one description
_ALL = 1000  # characters of several descriptions together

_repr = reprlib.Repr()
_repr.maxother = _repr.maxstring = _LENGTH


def describe(thing: Any) -> str:
    """Return a short ``repr``. Never raises, even if the object's own ``__repr__`` does."""
    try:
        return _on_one_line(_repr.repr(thing))
    except KeyboardInterrupt:
        raise
    except BaseException:  # the user's __repr__ may raise
        return f"an instance of {type(thing).__qualname__}"


def describe_text(problem: BaseException) -> str:
    """Return the text of an exception on one line. Never raises."""
    try:
        text = _on_one_line(str(problem))
    except KeyboardInterrupt:
        raise
    except BaseException:  # the user's __str__ may raise
        return "(its text can't be shown)"
    return text if len(text) <= _ALL else text[: _ALL - 1] + "…"


def describe_task(task: Any) -> str:
    """Return a description that tells a task from others of its kind.

    It has the attributes of an object without a ``__repr__`` of its own, and the default values of
    a function's arguments, since many tasks are written as ``lambda n=n: …``. A function without
    default values is its name alone, which nobody takes for a call without arguments.
    """
    try:
        kind: Any = type(task)
        if kind is FunctionType:
            values = task.__defaults__ or ()
            names = task.__code__.co_varnames[: task.__code__.co_argcount][-len(values) :]
            named = dict(zip(names, values, strict=False)) if values else {}
            values = named | (task.__kwdefaults__ or {})
            name = task.__qualname__
            return _with_values(name, values) if values else _on_one_line(name)
        if kind.__repr__ is object.__repr__:
            return _with_values(kind.__qualname__, vars(task))
    except KeyboardInterrupt:
        raise
    except BaseException:  # the object has no __dict__, or a strange one
        return describe(task)
    return describe(task)


def join_bounded(texts: tuple[str, ...]) -> str:
    """Return descriptions as a list for a message."""
    joined = ", ".join(texts)
    return joined if len(joined) <= _ALL else joined[: _ALL - 1] + "…"


def _with_values(name: str, values: dict[str, Any]) -> str:
    some = itertools.islice(values.items(), 10)
    shown = tuple(f"{key}={describe(value)}" for key, value in some)
    if len(values) > len(shown):
        shown += ("…",)
    return f"{_on_one_line(name)}({join_bounded(shown)})"


def _on_one_line(text: str) -> str:
    return printable(" ".join(text.split()))
