"""How a runner pickles what its items came to."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from ._loaded_definitions import LoadedDefinitions
from ._protocol import FRAME_LIMIT_BYTES
from ._references import definition

if TYPE_CHECKING:
    from ._protocol import Buffer


def pickle_value(value: Any, definitions: LoadedDefinitions) -> list[Buffer]:
    """Return a value as segments: its pickle, and its large buffers (protocol 5), not copied.

    Raises PicklingError, naming the value's type, if it can't be pickled.
    """
    segments: list[Buffer] = []
    try:
        # most values need none of cloudpickle's work
        data = pickle.dumps(value, 5, buffer_callback=_keep_large_buffers(segments))
    except Exception:
        segments.clear()
        data = _pickle_by_value(value, definitions, segments)
    return [data, *segments]


def _keep_large_buffers(segments: list[Buffer]) -> Callable[[pickle.PickleBuffer], bool]:
    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes <= FRAME_LIMIT_BYTES:
            return True
        segments.append(raw)
        return False

    return keep


def _pickle_by_value(value: Any, definitions: LoadedDefinitions, segments: list[Buffer]) -> bytes:
    import cloudpickle

    class ResultPickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no type hints
        """Refers to code that came from the master, so that it comes home as the original."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, (type, FunctionType, CodeType)):
                number = definitions.number_of(obj)
                if number is not None:
                    return definition, (number,)
            return super().reducer_override(obj)

    file = BytesIO()
    try:
        ResultPickler(file, 5, _keep_large_buffers(segments)).dump(value)
    except Exception as problem:
        raise pickle.PicklingError(
            f"the value (of type {type(value).__qualname__}) can't be pickled: "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    return file.getvalue()


def describe_exception(exc: BaseException, definitions: LoadedDefinitions) -> list[Buffer]:
    """Return an exception as segments: its traceback, a line that names it, and its pickle.

    The pickle is empty if the exception can't be pickled. Never raises.
    """
    return [
        _traceback_text(exc).encode(errors="backslashreplace"),
        _one_line(exc).encode(errors="backslashreplace"),
        *_pickle_exception(exc, definitions),
    ]


def _pickle_exception(exc: BaseException, definitions: LoadedDefinitions) -> list[Buffer]:
    try:
        return pickle_value(exc, definitions)
    except BaseException:  # its __reduce__ is the user's code: it may do anything
        return [b""]


def _traceback_text(exc: BaseException) -> str:
    import traceback  # only here: it costs some milliseconds

    try:
        frames = exc.__traceback__
        while frames is not None and frames.tb_frame.f_globals.get("__package__") == __package__:
            frames = frames.tb_next  # begin with the user's own code
        return "".join(traceback.format_exception(type(exc), exc, frames))
    except BaseException as problem:  # a __str__ that raises, a recursion too deep
        return (
            f"{type(exc).__qualname__} (its traceback can't be shown: {type(problem).__name__})\n"
        )


def _one_line(exc: BaseException) -> str:
    name = type(exc).__qualname__
    try:
        text = str(exc)
    except BaseException:  # the user's __str__
        return f"{name} (its text can't be shown)"
    return f"{name}: {text}" if text else name
