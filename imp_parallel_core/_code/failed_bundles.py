"""A bundle that could not be loaded on this slave, and how the tasks that need it fail."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from .._light_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._wire.types import Buffer


class FailedBundle:
    """A bundle that could not be loaded, and the exception of the last attempt.

    Args:
        segments: the segments of the bundle, for the next attempt.
        problem: the exception that loading it has raised.
    """

    def __init__(self, segments: Sequence[Buffer], problem: BaseException) -> None:
        self.segments = segments
        self.is_tried = True
        """Whether the current item has tried to load the bundle, and need not try again."""
        self._problem = problem
        self._traceback = problem.__traceback__
        self._notes = list(getattr(problem, "__notes__", ()))

    def exception(self, *notes: str) -> BaseException:
        """Return the exception as it was raised, with these notes, but without earlier ones."""
        # the exception's own class may forbid changes
        BaseException.__setattr__(self._problem, "__notes__", [*self._notes, *notes])
        return self._problem.with_traceback(self._traceback)


def failing_place(problem: BaseException) -> list[dict[str, Any]]:
    """Return the globals of the code that an exception came through, the innermost first."""
    frames = []
    traceback = problem.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame.f_globals)
        traceback = traceback.tb_next
    return frames[::-1]


def stand_in(name: str, missing: Any) -> Any:
    """Return the value of a global that could not be rebuilt.

    The global is missing, unless Python would then find a built-in object of the same name.
    """
    return _Unavailable(name) if hasattr(builtins, name) else missing


def _refuse(self: _Unavailable, *args: Any, **kwargs: Any) -> Any:
    name = object.__getattribute__(self, "_name")
    raise NameError(f"name {name!r} is not defined", name=name)


class _Unavailable:
    """Stands for a global that could not be rebuilt. Code that uses it gets a NameError."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    __getattribute__ = __setattr__ = __call__ = __iter__ = __len__ = __bool__ = _refuse
    __getitem__ = __setitem__ = __contains__ = __eq__ = __hash__ = __lt__ = __gt__ = _refuse
    __le__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __mod__ = __index__ = __int__ = __float__ = _refuse
    __str__ = __repr__ = __format__ = __enter__ = __exit__ = __reduce_ex__ = _refuse
