"""Dial the master again, in a thread of its own: dialling waits, and the supervisor must not."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable

from .._wire.stream import Stream


class Redial:
    """Calls a transport's ``dial``, and reports the result in the supervisor's loop.

    Args:
        dial: makes a stream within so many seconds, or raises SystemExit.
        selector: the selector of the loop.
        dialled: called in the loop with the stream.
        gone: called in the loop with the SystemExit.
    """

    def __init__(
        self,
        dial: Callable[[float], Stream],
        selector: selectors.BaseSelector,
        dialled: Callable[[Stream], None],
        gone: Callable[[SystemExit], None],
    ) -> None:
        self._dial = dial
        self._selector = selector
        self._dialled = dialled
        self._gone = gone

    def start(self, pause_s: float, patience_s: float) -> None:
        """Dial after a pause, for so many seconds. Call this once for each Redial."""
        ours, theirs = socket.socketpair()
        self._selector.register(ours, selectors.EVENT_READ, lambda events: self._answered(ours))
        self._answer: Stream | SystemExit | None = None
        arguments = (theirs, pause_s, patience_s)
        threading.Thread(target=self._run, args=arguments, daemon=True).start()

    def _run(self, done: socket.socket, pause_s: float, patience_s: float) -> None:
        with done:  # closing it wakes the loop
            try:
                time.sleep(pause_s)
                self._answer = self._dial(patience_s)
            except SystemExit as end:
                self._answer = end
            except Exception as problem:  # a fault of the plugin must not leave the slave waiting
                text = f"imp_parallel: can't dial again: {type(problem).__name__}: {problem}"
                self._answer = SystemExit(text)

    def _answered(self, ours: socket.socket) -> None:
        self._selector.unregister(ours)
        ours.close()
        if isinstance(self._answer, SystemExit):
            self._gone(self._answer)
        elif self._answer is not None:
            self._dialled(self._answer)
