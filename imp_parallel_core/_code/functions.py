"""Functions and their code: what they use, and how they are taken apart for a pickle.

The globals of a function stay outside of its pickle, so that all functions of one module share one
dict on the slave: tasks see a set-up's ``global MODEL``.
"""

from __future__ import annotations

import dis
import marshal
import sys
from collections.abc import Iterator, Sequence
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

from .annotations import annotations_of
from .references import load_code, make_function, set_function_state

_GLOBAL_OPERATIONS = frozenset(
    {"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
)


def has_no_name(function: FunctionType) -> bool:
    """Whether a function is a lambda or a local one, perhaps of a comprehension.

    The methods of a local class have names: those of the class, which also shares the variables
    that they close over.
    """
    name = function.__qualname__
    *around, _ = name.rpartition("<locals>.")[2].split(".")
    return "<" in name and all(part.startswith("<") for part in around)


def codes_within(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and the code objects of functions and classes defined inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_within(constant)


def global_names(code: CodeType) -> list[str]:
    """Return the names of the globals that a code object may use."""
    names = {
        instruction.argval: None
        for part in codes_within(code)
        for instruction in dis.get_instructions(part)
        if instruction.opname in _GLOBAL_OPERATIONS
    }
    names.pop("__builtins__", None)  # each process has its own builtins
    return list(names)


def submodules_used(code: CodeType, module: ModuleType) -> list[str]:
    """Return the loaded submodules of a package that a code object may reach through it.

    After ``import xml.etree.ElementTree``, the globals of a function hold only ``xml``, and the
    slave must import the submodules.
    """
    attributes = {name for part in codes_within(code) for name in part.co_names}
    prefix = module.__name__ + "."
    return [
        name
        for name in list(sys.modules)
        if name.startswith(prefix) and attributes.issuperset(name[len(prefix) :].split("."))
    ]


def cell_content(cell: CellType) -> Any:
    """Return the value of a variable that a function closes over; EMPTY if it has none."""
    try:
        return cell.cell_contents
    except ValueError:
        return EMPTY


EMPTY = object()
"""The content of a closure's variable that has no value yet."""


def reduce_function(
    function: FunctionType, namespace: int, steps: Sequence[object] = ()
) -> tuple[Any, ...]:
    """Return the reduction of a function, without its globals.

    Args:
        function: the function.
        namespace: the number of its globals.
        steps: objects to rebuild before the function is called; rebuilding them has side effects.
    """
    code = function.__code__
    state: dict[str, Any] = {"__module__": function.__module__}
    # attributes that the code object implies, or that are empty, are left out
    if function.__name__ != code.co_name:
        state["__name__"] = function.__name__
    if function.__qualname__ != code.co_qualname:
        state["__qualname__"] = function.__qualname__
    first = code.co_consts[0] if code.co_consts else None
    if function.__doc__ is not (first if type(first) is str else None):
        state["__doc__"] = function.__doc__
    if function.__defaults__:
        state["__defaults__"] = function.__defaults__
    if function.__kwdefaults__:
        state["__kwdefaults__"] = function.__kwdefaults__
    if function.__dict__:
        state["__dict__"] = function.__dict__
    if annotations := annotations_of(function):
        state["__annotations__"] = annotations
    if type_parameters := getattr(function, "__type_params__", ()):
        state["__type_params__"] = type_parameters
    if steps:
        state["__globals__"] = steps
    arguments = (namespace, code, function.__closure__)
    return make_function, arguments, state, None, None, set_function_state


def reduce_code_object(code: CodeType) -> tuple[Any, ...]:
    """Return the reduction of a code object by marshal: both ends have the same Python version."""
    return load_code, (marshal.dumps(code),)
