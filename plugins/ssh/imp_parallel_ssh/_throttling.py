"""Making many connections to one place: a few at a time, and again when the place drops one.

By default sshd begins to drop connections at random when ten of them have not logged in yet
(MaxStartups 10:30:100 in sshd_config). So a gateway to many hosts must not be asked for all of them
at once. Other people's connections count too: a connection that is dropped before login is tried
again.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import TypeVar

from imp_parallel_core import LaunchError, explained
from imp_parallel_core.reminder import Reminder

_Made = TypeVar("_Made")
_logger = logging.getLogger("imp_parallel.ssh")

_AT_ONCE = 6  # leaves some of sshd's ten to other people
_FIRST_PAUSE_S = 0.3
_LONGEST_PAUSE_S = 5.0
_JITTER = 0.5  # of a pause: connections that were dropped together must not come back together
_TRIES = 4  # at a place where nobody has ever spoken SSH
_TOLD_S = 5.0  # after so long, people are told that it is tried again


class Dropped(LaunchError):
    """A host ended a connection before anybody had logged in.

    Attributes:
        is_sshd: whether the host has spoken SSH.
    """

    is_sshd = False


_gates: defaultdict[Hashable, threading.BoundedSemaphore] = defaultdict(
    lambda: threading.BoundedSemaphore(_AT_ONCE)
)


def connecting_slot(place: Hashable) -> threading.BoundedSemaphore:
    """Return a semaphore to hold from before a connection to a place is made until after login."""
    return _gates[place]


def connect_patiently(
    connect: Callable[[], _Made], patience_s: float, is_cancelled: threading.Event | None = None
) -> _Made:
    """Connect; if the connection is dropped before login, connect again for ``patience_s``.

    Raises what ``connect`` raises otherwise, and the last Dropped when the patience is over.
    """
    cancelled = is_cancelled or threading.Event()
    began_at = time.monotonic()
    reminder = Reminder(_TOLD_S, growth=4.0)
    pause_s, tries = _FIRST_PAUSE_S, 0
    while True:
        tries += 1
        try:
            return connect()
        except Dropped as problem:
            now = time.monotonic()
            wait_s = pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
            is_over = now + wait_s > began_at + patience_s
            if is_over or (tries >= _TRIES and not problem.is_sshd) or cancelled.wait(wait_s):
                raise
            if reminder.remind(now - began_at):
                text = f"{problem}\n    It is tried for {began_at + patience_s - now:.0f} s more."
                _logger.warning("%s", explained(text, once=True))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _forked() -> None:
    _gates.clear()  # some may be held by the parent's threads


os.register_at_fork(after_in_child=_forked)
