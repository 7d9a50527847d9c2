"""Errors for what can't be pickled, which name the part that is to blame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._code.culprit import explain
from .._definitions.book import DefinitionBook
from .._errors import PicklingError


def pickling_error(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    keywords: dict[str, Any] | None,
    problem: Exception,
) -> PicklingError:
    """Return the error for a call that can't be pickled.

    Args:
        name: what the error calls the function.
        function: what was to be called, as the user gave it.
        args: its arguments.
        keywords: likewise.
        problem: what pickling has raised.
    """
    part: Any
    what, part = name, function
    if _can_pickle(function):
        is_in_args = not keywords or not _can_pickle(args)
        what, part = ("args", args) if is_in_args else ("keywords", keywords)
    culprit, advice = explain(part, what, _can_pickle)
    reason = f"{type(problem).__name__}: {problem}"
    return PicklingError(f"{culprit} can't be pickled: {reason}{advice}", culprit=culprit)


def _can_pickle(thing: Any) -> bool:
    try:
        DefinitionBook().pickle(thing)  # in a book of its own, since this must not be sent
    except Exception:
        return False
    return True
