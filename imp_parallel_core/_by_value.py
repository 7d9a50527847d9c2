"""How a function or class that no module on the slave holds is taken apart for a pickle.

cloudpickle decides what must travel by value, and takes classes apart. Functions are taken apart
here, for one reason: their globals must stay outside of the pickle, so that all functions of one
module share one dict on the slave (a set-up that sets ``global MODEL`` is seen by the tasks).
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ._references import EmptyCell, make_function, set_function_state

_GLOBAL_OPERATIONS = frozenset(
    {"LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
)
_ATTRIBUTES = (
    "__name__",
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
    "__type_params__",
)


def codes_within(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those of the functions and classes that are defined inside it."""
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
    return list(names)


def submodules_used(code: CodeType, module: ModuleType) -> list[str]:
    """Return the loaded submodules of a package that a code object may reach through it.

    After ``import xml.etree.ElementTree``, a function holds only ``xml`` in its globals; on the
    slave somebody must import the rest.
    """
    attributes = {name for part in codes_within(code) for name in part.co_names}
    prefix = module.__name__ + "."
    return [
        name
        for name in list(sys.modules)
        if name.startswith(prefix) and attributes.issuperset(name[len(prefix) :].split("."))
    ]


def cell_contents(function: FunctionType) -> tuple[Any, ...]:
    """Return the values that a function closes over; EmptyCell for a variable without one."""
    contents: list[Any] = []
    for cell in function.__closure__ or ():
        try:
            contents.append(cell.cell_contents)
        except ValueError:
            contents.append(EmptyCell)
    return tuple(contents)


def reduce_function(function: FunctionType, namespace: int) -> tuple[Any, ...]:
    """Take a function apart (as ``__reduce_ex__`` would), without its globals."""
    state: dict[str, Any] = {
        name: getattr(function, name) for name in _ATTRIBUTES if hasattr(function, name)
    }
    state["dict"] = function.__dict__
    state["closure"] = contents = cell_contents(function)
    arguments = (namespace, function.__code__, len(contents))
    return make_function, arguments, state, None, None, set_function_state


def untracked(reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return cloudpickle's reduction of a class without its identity across pickles.

    cloudpickle would return one class per process for all pickles of it. Here each context has its
    own, since the methods' globals are the context's. The tracker's id is the last but one argument
    of both of its class builders (cloudpickle 3; None means "untracked"); a test holds it to that.
    """
    build, arguments, *rest = reduced
    return build, (*arguments[:-2], None, arguments[-1]), *rest
