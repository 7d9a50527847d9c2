"""What travels in the place of a task, taken apart into the user's own callable and keywords."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._code.calls import WithKeywords
from .._slave.announced import Announced


def taken_apart(called: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the callable that the user gave, and the keywords that it is called with."""
    if type(called) is Announced:
        called = called.func
    if type(called) is WithKeywords:
        return called.func, called.keywords
    return called, {}
