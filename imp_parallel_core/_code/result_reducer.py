"""How results are taken apart: they refer to the code of the master, and contain other code."""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import Any

from .by_name import may_have_name, reduce_by_name
from .functions import reduce_code_object, reduce_function
from .loaded import LoadedDefinitions
from .reducers import is_code, is_taken_apart, reduce_by_value, reducer_of
from .references import definition


class ResultReducer:
    """Takes the objects in results apart. The pickler calls it for nearly every object."""

    def __init__(self, definitions: LoadedDefinitions) -> None:
        self._definitions = definitions
        self._plain_kinds: set[type] = set()  # types whose instances pickle itself takes apart
        self._importable: dict[int, tuple[Any, Any]] = {}  # by id: an object and its reduction

    def __call__(self, thing: Any) -> Any:
        """Return the reduction of anything, as ``Pickler.reducer_override`` does."""
        kind = type(thing)
        if kind in self._plain_kinds:
            return NotImplemented
        if is_code(kind):
            known = self._importable.get(id(thing))
            return self._reduce_code(thing) if known is None else known[1]
        reducer = reducer_of(kind)
        if reducer is not None:
            return reducer(thing)
        if may_have_name(kind):
            number = self._definitions.number_of(thing)
            return reduce_by_name(thing) if number is None else (definition, (number,))
        self._plain_kinds.add(kind)
        return NotImplemented

    def _reduce_code(self, thing: Any) -> Any:
        number = self._definitions.number_of(thing)
        if number is not None:
            return definition, (number,)
        kind = type(thing)
        if kind is CodeType:
            return reduce_code_object(thing)
        reduced = reduce_by_value(thing)
        if not is_taken_apart(reduced):
            self._importable[id(thing)] = thing, reduced
        elif kind is FunctionType:
            # on the master, the function uses the globals that its module has there
            namespace = self._definitions.number_of_namespace(thing.__globals__)
            if namespace is not None:
                return reduce_function(thing, namespace)
        return reduced
