"""The objects that by-value code held when it was sent, to see whether it still holds them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from types import CellType, CodeType, FunctionType
from typing import Any

from .._code.functions import cell_content

MISSING = object()
"""Stands for the value of a global that isn't there: a builtin, or not yet."""


class Snapshot:
    """The identities of what functions, classes and globals hold. Checked for every task."""

    __slots__ = ("_bases", "_cells", "_functions", "_globals", "_mappings", "_without_attributes")

    def __init__(self) -> None:
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
        self._functions: list[tuple[FunctionType, CodeType, Any, Any]] = []
        self._cells: list[tuple[CellType, Any]] = []
        self._bases: list[tuple[type, tuple[type, ...]]] = []
        self._mappings: list[tuple[Mapping[str, Any], list[str], list[Any]]] = []
        self._without_attributes: list[dict[str, Any]] = []

    @classmethod
    def of(cls, thing: Any) -> Snapshot:
        """Return the snapshot of one function, class, code object or sentinel."""
        made = cls()
        if type(thing) is FunctionType:
            made._functions.append(
                (thing, thing.__code__, thing.__defaults__, thing.__kwdefaults__)
            )
            made._cells += [(cell, cell_content(cell)) for cell in thing.__closure__ or ()]
            if thing.__dict__:
                made._add_mapping(thing.__dict__)
            else:
                made._without_attributes.append(thing.__dict__)
        elif issubclass(type(thing), type):
            made._bases.append((thing, thing.__bases__))
            made._add_mapping(type.__dict__["__dict__"].__get__(thing))
        return made

    def _add_mapping(self, mapping: Mapping[str, Any]) -> None:
        self._mappings.append((mapping, list(mapping), list(mapping.values())))

    def add_global(self, module: dict[str, Any], name: str, value: Any) -> None:
        """Add what a name stands for in a module."""
        self._globals.append((module, name, value))

    def add(self, other: Snapshot) -> None:
        """Add all of another snapshot."""
        for slot in self.__slots__:
            getattr(self, slot).extend(getattr(other, slot))

    def is_current(self) -> bool:
        """Whether everything still holds the very objects that it held."""
        for module, name, value in self._globals:
            if module.get(name, MISSING) is not value:
                return False
        for function, code, defaults, keyword_defaults in self._functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not keyword_defaults
            ):
                return False
        for cell, content in self._cells:
            if cell_content(cell) is not content:
                return False
        for kind, bases in self._bases:
            if kind.__bases__ is not bases:
                return False
        for mapping, names, values in self._mappings:
            if list(mapping) != names or not all(map(is_, mapping.values(), values)):
                return False
        return not any(self._without_attributes)
