"""One check: a name, and what makes it impossible."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from unittest import SkipTest


class Check:
    """A check of what the core expects of a plugin, under its name.

    Attributes:
        name: says what the core expects, in words that are joined by ``_``. A test runner that
            looks for ``__name__`` finds the same.
        why_not: why the check can't be made of this plugin; "" if it can. Then a call raises
            ``unittest.SkipTest``, which pytest and others report under the check's name.
    """

    def __init__(self, function: Callable[..., None], why_not: str = "") -> None:
        self.name = self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.why_not = why_not
        self._function = function

    def __repr__(self) -> str:
        return self.name

    def _run(self, subject: Any) -> None:
        """Call the function of the check, unless the check can't be made."""
        if self.why_not:
            raise SkipTest(f"{self.name}: {self.why_not}")
        try:
            self._function(subject)
        except SkipTest as reason:
            raise SkipTest(f"{self.name}: {reason}") from reason


_AnyCheck = TypeVar("_AnyCheck", bound=Check)


def run_all(checks: Iterable[_AnyCheck], make: Callable[[_AnyCheck], None]) -> dict[str, str]:
    """Make checks; return the names of those that could not be made, each with the reason."""
    left_out = {}
    for check in checks:
        try:
            make(check)
        except SkipTest as reason:
            left_out[check.name] = str(reason).removeprefix(f"{check.name}: ")
    return left_out


def wait_until(condition: Callable[[], object], limit_s: float) -> bool:
    """Wait until a condition holds, for so long at most; return whether it does."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
