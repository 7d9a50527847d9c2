"""How long something may take as a whole; the time spent waiting for a person does not count."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Deadline:
    """A time limit for several steps that follow each other.

    Args:
        limit_s: how long they may take together.
    """

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._lock = threading.Lock()
        self._at = time.monotonic() + limit_s
        self._waiting_since: float | None = None

    def left_s(self) -> float:
        """Return how much time is left, at least 0."""
        with self._lock:
            now = self._waiting_since or time.monotonic()
            return max(0.0, self._at - now)

    def check(self) -> None:
        """Raise TimeoutError if no time is left."""
        if self.left_s() <= 0:
            raise TimeoutError(f"not done within {self.limit_s:g} s")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no time count meanwhile: a person is asked, or others have to come first."""
        with self._lock:
            self._waiting_since = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._at += time.monotonic() - self._waiting_since
                self._waiting_since = None
