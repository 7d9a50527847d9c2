"""A reader's question to the engine, and the wait for its answer.

=========  =====================================  =================================================
state      event                                  next state
=========  =====================================  =================================================
asked      the inbox has been closed              answered: the error
asked      an outcome may be there for it         answered: LookAgain
asked      too many tasks have failed             answered: Stopped
asked      every task has its outcome             answered: Complete
asked      otherwise                              waiting
waiting    ``put``, then ``answer_waiters``       as if it had just been asked
waiting    ``give_up``, ``close``                 answered: the error
=========  =====================================  =================================================

The events are the methods of :class:`~.inbox.Inbox`, which answers in the engine's thread.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from .._errors import Error
from .._light_typing import NamedTuple

_CHECK_S = 1.0  # how often a waiting reader looks whether the engine is still there


class LookAgain(NamedTuple):
    """The answer to a reader for whom something may be there."""


class Complete(NamedTuple):
    """The answer to a reader when every task's outcome has been read."""


class Stopped(Exception):
    """What has come has been read, and the rest was ended since too many tasks have failed."""


Answer = LookAgain | Complete | Stopped | Error


class Waiter:
    """One reader's question to the engine: what is there for me?

    Args:
        wanted: the number of the task whose outcome it wants; None for any.
    """

    def __init__(self, wanted: int | None) -> None:
        self.wanted = wanted
        self.is_gone = False
        """Whether the reader waits no more."""
        self._answers: SimpleQueue[Answer] = SimpleQueue()

    def answer(self, answer: Answer) -> None:
        """Answer the question. Called in the engine's thread."""
        self._answers.put(answer)

    def wait(self, check: Callable[[], None], until: float | None) -> Answer | None:
        """Return the engine's answer; None if that has not come in time.

        Args:
            check: called every second; raises if the engine has ended.
            until: for how long to wait (monotonic s); None for any time.
        """
        wait_s = _CHECK_S
        while True:
            if until is not None:
                wait_s = min(_CHECK_S, max(0.0, until - time.monotonic()))
            try:
                with contextlib.suppress(Empty):
                    return self._answers.get(timeout=wait_s)
                check()  # a Ctrl-C here is not to be shown as one that happened in a handler
            except BaseException:
                self.is_gone = True
                raise
            if wait_s < _CHECK_S:
                self.is_gone = True
                return None
