"""Ctrl-C, and the signals that end a process: a check ends its slaves first, and says so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OF_A_SHELL = 128  # what a shell adds to the number of the signal that has ended a program


class Interrupted(KeyboardInterrupt):
    """A signal asks for the end."""


class Interruptions:
    """The signals that have come. The first one interrupts the main thread, unless that is ending.

    Another SIGTERM or SIGHUP changes nothing: ``timeout`` sends two, and so does a shell whose
    terminal is closed. Ctrl-C, pressed again, interrupts the end, too.
    """

    def __init__(self) -> None:
        self.is_ending = False
        """Whether the slaves are being ended, which a first signal does not interrupt."""
        self.failure: OSError | None = None
        """Why nobody can be told of anything; that ends a check, too."""
        self._first: signal.Signals | None = None
        self._was_ctrl_c = False

    @property
    def cause(self) -> str:
        """What has come first, in words; "" if nothing has."""
        if self._first is None:
            return ""
        return "Ctrl-C" if self._first is signal.SIGINT else self._first.name

    @property
    def exit_code(self) -> int:
        """What a shell returns for a program that the first signal has ended."""
        return _OF_A_SHELL + (self._first or signal.SIGINT)

    def check(self) -> None:
        """Raise Interrupted if a signal has come, or why nobody is told; not during the end."""
        if self.is_ending:
            return
        if self._first is not None:
            raise Interrupted(self.cause)
        if self.failure is not None:
            raise self.failure

    def fail(self, problem: OSError) -> None:
        """Take note that the output can't be written, in any thread."""
        self.failure = problem

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take signals in the block, in the main thread; those that are ignored remain so."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {
                number: handler
                for number in _TAKEN
                if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
            }
        try:
            for number in before:
                signal.signal(number, self._take)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, _: FrameType | None) -> None:
        is_first, is_repeated = self._first is None, False
        self._first = self._first or signal.Signals(number)
        if number == signal.SIGINT:
            is_repeated, self._was_ctrl_c = self._was_ctrl_c, True
        if is_repeated or (is_first and not self.is_ending):
            raise Interrupted(self.cause)
