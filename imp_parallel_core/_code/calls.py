"""How a task is called: behind the values of its set-up, and with keywords."""

from __future__ import annotations

from functools import partial

from .._light_typing import Any


class WithKeywords(partial[Any]):
    """Calls a task with keywords, behind all other arguments.

    It is the callable that travels in the place of the task. Another class than ``partial``, so
    that nobody takes a task that is a ``partial`` of the user's for one that was added so.
    """


def as_arguments(value: Any) -> tuple[Any, ...]:
    """Return the value of a set-up as the first arguments of its tasks, as IMP.parallel does."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)
