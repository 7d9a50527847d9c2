"""The call of a plugin's that a launch's thread is in: it may hang, and others must see that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .._light_typing import NamedTuple


class Call(NamedTuple):
    """A call that has not returned yet."""

    method: str
    since: float
    """When it began, in monotonic seconds."""


class Calls:
    """What the thread of one launch asks of the plugin's Launch. Any thread may read it."""

    def __init__(self) -> None:
        self.current: Call | None = None
        """The call that has not returned; None between calls."""

    @contextmanager
    def to(self, method: str) -> Iterator[None]:
        """Note that a method is called for as long as the block lasts."""
        self.current = Call(method, time.monotonic())
        try:
            yield
        finally:
            self.current = None
