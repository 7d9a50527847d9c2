"""How a pickle refers to code that travelled apart from it.

A pickled task says ``definition(7)`` where it would hold the code of a class. Both ends look the
number up in the table of the context that the pickle belongs to: on a slave it is what was loaded,
on the master the original object, so that an instance comes home as one of its own class.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CellType, CodeType, FunctionType
from typing import Any, Protocol


class Definitions(Protocol):
    """The table of one context."""

    def definition(self, number: int) -> Any:
        """Return the function, class or code object of that number."""

    def namespace(self, number: int) -> dict[str, Any]:
        """Return the dict that the functions of one module share as their globals."""


_active = threading.local()


@contextmanager
def resolving(definitions: Definitions) -> Iterator[None]:
    """Let pickles that are loaded in this thread refer to a context's definitions."""
    previous = getattr(_active, "definitions", None)
    _active.definitions = definitions
    try:
        yield
    finally:
        _active.definitions = previous


# The functions below are named in pickles. They run while one is loaded.


def definition(number: int) -> Any:
    """Return what a pickle refers to by its number."""
    return _active.definitions.definition(number)


def make_function(namespace: int, code: CodeType, cells: int) -> FunctionType:
    """Return a function whose globals are its module's in this context; its state comes later."""
    closure = tuple(CellType() for _ in range(cells))
    return FunctionType(code, _active.definitions.namespace(namespace), closure=closure)


class EmptyCell:
    """Stands for a closure's variable that has no value (yet)."""


def set_function_state(function: FunctionType, state: dict[str, Any]) -> None:
    """Give a function its attributes and the values that it closes over."""
    for cell, value in zip(function.__closure__ or (), state.pop("closure"), strict=True):
        if value is not EmptyCell:
            cell.cell_contents = value
    function.__dict__.update(state.pop("dict"))
    for name, value in state.items():
        setattr(function, name, value)
