"""How a runner pickles the values and exceptions of items."""

from __future__ import annotations

import pickle

from .._light_typing import TYPE_CHECKING, Any
from .loaded import LoadedDefinitions
from .pickler import Reducer, pickle_with

if TYPE_CHECKING:
    from .._wire.types import Buffer

PLAIN = frozenset({type(None), bool, int, float, complex, str})
"""The types of values that need nothing but pickle."""


def pickle_value(
    value: Any, definitions: LoadedDefinitions, name: str = "the value"
) -> list[Buffer]:
    """Return a value as segments: its pickle, and its large parts, which are not copied.

    Raises PicklingError, which names the part that can't be pickled; ``name`` stands for the value.
    """
    if type(value) in PLAIN:
        return [pickle.dumps(value, 5)]
    if definitions.reducer is None:
        # this imports cloudpickle, which must come from the master's sys.path
        from .result_reducer import ResultReducer

        definitions.reducer = ResultReducer(definitions)
    try:
        data, buffers = pickle_with(definitions.reducer, value)
    except Exception as problem:
        raise pickle.PicklingError(
            f"{_culprit(value, name, definitions.reducer)} can't be pickled: "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    return [data, *(one.raw for one in buffers)]


def _culprit(value: Any, name: str, reducer: Reducer) -> str:
    from .culprit import find_culprit

    def can_pickle(part: Any) -> bool:
        try:
            pickle_with(reducer, part)
        except Exception:
            return False
        return True

    return find_culprit(value, name, can_pickle)


def describe_exception(exc: BaseException, definitions: LoadedDefinitions) -> list[Buffer]:
    """Return an exception as segments: its traceback, a line that names it, facts, its pickle.

    The pickle is empty if the exception can't be pickled. Never raises.
    """
    from .exception_facts import write_facts  # few tasks fail

    pickled: list[Buffer] = [b""]
    problem = ""
    try:
        pickled = pickle_value(exc, definitions, "the exception")
    except pickle.PicklingError as found:
        problem = str(found)
    except BaseException as found:  # the user's __reduce__ may raise anything
        problem = f"the exception can't be pickled: its code raised {type(found).__name__}"
    return [
        _traceback_text(exc).encode(errors="backslashreplace"),
        _one_line(exc).encode(errors="backslashreplace"),
        write_facts(exc, problem),
        *pickled,
    ]


def _traceback_text(exc: BaseException) -> str:
    import traceback  # its import takes some milliseconds

    try:
        frames = exc.__traceback__
        while frames is not None and _is_ours(frames.tb_frame.f_globals):
            frames = frames.tb_next  # begin with the user's own code
        return "".join(traceback.format_exception(type(exc), exc, frames))
    except BaseException as problem:  # a __str__ may raise, or a recursion may be too deep
        return (
            f"{type(exc).__qualname__} (its traceback can't be shown: {type(problem).__name__})\n"
        )


def _is_ours(names: dict[str, Any]) -> bool:
    return str(names.get("__package__")).startswith("imp_parallel_core._")


def _one_line(exc: BaseException) -> str:
    name = type(exc).__qualname__
    try:
        text = str(exc)
    except BaseException:  # the user's __str__ may raise
        return f"{name} (its text can't be shown)"
    return f"{name}: {text}" if text else name
