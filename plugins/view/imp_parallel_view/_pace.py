"""How fast tasks end. Pure: times come in with what is counted."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 60.0
_SAMPLE_S = 0.5
_LEAST_S = 2.0  # of work, before anything can be said of what is left
_LEAST_DONE = 2


class Pace:
    """How many tasks end in a second, by the last minute."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()  # when so many tasks had ended
        self._ended = 0

    def begin(self, at: float) -> None:
        """Take note that the first tasks have been sent."""
        if not self._samples:
            self._samples.append((at, self._ended))

    def count(self, at: float, ended: int) -> None:
        """Take note that so many more tasks have ended."""
        self._ended += ended
        samples = self._samples
        if not samples or at - samples[-1][0] >= _SAMPLE_S:
            samples.append((at, self._ended))
        while len(samples) > 2 and at - samples[1][0] > _WINDOW_S:
            samples.popleft()

    def per_s(self, now: float) -> float | None:
        """Return the rate; None: too early to say."""
        if not self._samples:
            return None
        at, ended = self._samples[0]
        if now - at < _LEAST_S or self._ended - ended < _LEAST_DONE:
            return None
        return (self._ended - ended) / (now - at)
