"""How a task is called: behind the values of its set-up, and with keywords."""

from __future__ import annotations

from functools import partial

from .._light_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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


def spread_of(value: Any) -> str:
    """Return what the value of a set-up is, if it is spread: ``"list"`` or ``"tuple"``; or "".

    An empty tuple is none of them: it says what it means, and no set-up returns one, too.
    """
    if isinstance(value, list):
        return "list"
    return "tuple" if isinstance(value, tuple) and value else ""


def call_behind_setup(
    function: Callable[..., Any],
    spread: str,
    values: tuple[Any, ...],
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any] | None = None,
) -> Any:
    """Call a task behind the values of its set-up; return what it returns.

    If the arguments don't fit the task's signature, the exception gets a note on what was spread:
    people forget that a list is, and the exception counts arguments that they have never written.

    Args:
        function: the task.
        spread: what the set-up returned, if its values were in that: see :func:`spread_of`.
        values: the values of the set-up.
        arguments: what was added with the task, and ``keywords``.
    """
    named = keywords or {}
    try:
        return function(*values, *arguments, **named)
    except TypeError as problem:
        here = problem.__traceback__
        has_begun = here is None or here.tb_next is not None  # the task's own code
        if spread and not has_begun and not _fits(function, (*values, *arguments), named):
            problem.add_note(_note_on(spread, len(values)))
        raise


def _note_on(spread: str, count: int) -> str:
    some = f"{count} value{'' if count == 1 else 's'}"
    given = f"{count} argument{'' if count == 1 else 's'}" if count else "no argument"
    return (
        f"(the set-up returned a {spread} of {some}, which the task was given as {given}; to give "
        f"it the {spread} as one argument, let the set-up return it in a tuple: return (values,))"
    )


def _fits(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> bool:
    """Whether a callable can be called so; also if nobody can tell."""
    import inspect  # it takes long to import, and few calls fail

    try:
        signature = inspect.signature(function)
    except Exception:  # it has none, or the user's code that makes it fails
        return True
    try:
        signature.bind(*arguments, **keywords)
    except TypeError:
        return False
    return True
