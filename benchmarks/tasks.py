"""Tasks that an installed module would hold: every peer can send them by name."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any


class Noop:
    """Do nothing, and return what it was given: the smallest task that can be told from others."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self) -> int:
        """Run."""
        return self.number


class Echo:
    """Return what it was made with."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        """Run."""
        return self.value


class Sleep:
    """Sleep for so many seconds, and return how long that was: a core may be shared."""

    def __init__(self, duration_s: float) -> None:
        self.duration_s = duration_s

    def __call__(self) -> float:
        """Run."""
        begun_at = time.perf_counter()
        time.sleep(self.duration_s)
        return time.perf_counter() - begun_at


def echo(thing: Any) -> Any:
    """Return what was given: the smallest task that is a function."""
    return thing


def call(task: Callable[[], Any]) -> Any:
    """Call a task: for peers that map a function over things."""
    return task()


def exponential(count: int, mean_s: float, seed: int = 1) -> Sequence[Sleep]:
    """Return tasks of durations that are the same in every run."""
    generator = random.Random(seed)
    return [Sleep(generator.expovariate(1 / mean_s)) for _ in range(count)]


def least_s(durations: Sequence[float], slaves: int) -> float:
    """Return how long so many slaves would take at least, if handing over took no time."""
    return max(sum(durations) / slaves, max(durations))
