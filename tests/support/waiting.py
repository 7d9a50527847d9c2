"""Waiting for what other processes bring about."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imp_parallel_core import Event, SlaveChanged, hookimpl


def wait_until(condition: Callable[[], Any], limit_s: float = 30.0, what: str = "") -> None:
    """Wait until a condition holds; fail if it does not within the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come about: {what or condition}"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie, which may be reaped late, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_for_end(pid: int, what: str) -> None:
    """Wait until a process has ended."""
    wait_until(lambda: not is_alive(pid), what=what)


class Lives:
    """An observer that knows each state that a slave has been in, however short it was."""

    def __init__(self) -> None:
        self._states: dict[str, list[str]] = {}

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, SlaveChanged):
                self._states.setdefault(event.slave, []).append(event.state)

    def returns(self, slave: int = 0) -> int:
        """Return how often a slave has come back after its connection had broken."""
        states = self._states.get(f"slave {slave}", [])
        pairs = itertools.pairwise(states)
        return sum(one == "reconnecting" and next_ != "gone" for one, next_ in pairs)
