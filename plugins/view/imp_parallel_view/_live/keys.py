"""The keys that a user types while a command shows something on the whole terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Keys:
    """Waits for keys, if somebody can type any.

    Args:
        typed: the descriptor of the terminal; None if there is none.
    """

    def __init__(self, typed: int | None) -> None:
        self._typed = typed

    def is_quit_within(self, seconds: float) -> bool:
        """Wait for so long, or until the user types ``q``; return whether the user has."""
        due = time.monotonic() + seconds
        while self._typed is not None and (left_s := due - time.monotonic()) > 0:
            if not select.select([self._typed], [], [], left_s)[0]:
                return False
            keys = os.read(self._typed, 1024)
            if b"q" in keys.lower():
                return True
            if not keys:  # the terminal is gone
                self._typed = None
        time.sleep(max(due - time.monotonic(), 0.0))
        return False


@contextmanager
def typed_keys() -> Iterator[Keys]:
    """Have keys come at once and unseen, as long as this lasts; then the terminal is as before.

    A signal that ends the process raises SystemExit meanwhile, so that callers, too, can leave the
    terminal as it was.
    """
    typed = _terminal()
    if typed is None:
        with _ends_raised():
            yield Keys(None)
        return
    before = termios.tcgetattr(typed)
    with _ends_raised():
        try:
            tty.setcbreak(typed, termios.TCSADRAIN)
            yield Keys(typed)
        finally:
            termios.tcsetattr(typed, termios.TCSAFLUSH, before)


def _terminal() -> int | None:
    """Return the descriptor of the terminal; None if there is none that this process may change."""
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    typed = sys.stdin.fileno()
    try:
        is_in_background = os.tcgetpgrp(typed) != os.getpgrp()
    except OSError:  # it does not control this process, and so there is no background
        is_in_background = False
    return None if is_in_background else typed


@contextmanager
def _ends_raised() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
