"""Who tells joblib that a batch of tasks is done.

Then joblib asks the iterable of the tasks for more of them, which may take long, and may itself use
joblib. The thread of an executor that several ``Parallel`` share must not wait for that.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

_Callback = Callable[[Future[Any]], object]
_logger = logging.getLogger("imp_parallel.joblib")


def tell_at_once(callback: _Callback, future: Future[Any]) -> None:
    """Call a callback in the executor's thread, which no other ``Parallel`` uses."""
    callback(future)


class Teller:
    """Calls callbacks in a thread of its own, which ends when this is no longer referred to."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[_Callback, Future[Any]] | None] = SimpleQueue()
        threading.Thread(
            target=_serve, args=(self._queue,), name="imp_parallel joblib", daemon=True
        ).start()
        weakref.finalize(self, self._queue.put, None)

    def tell(self, callback: _Callback, future: Future[Any]) -> None:
        """Have a callback called."""
        self._queue.put((callback, future))


def _serve(queue: SimpleQueue[tuple[_Callback, Future[Any]] | None]) -> None:
    while told := queue.get():
        callback, future = told
        try:
            callback(future)
        except BaseException:  # as an executor does
            _logger.exception("a callback of joblib raised")
        del told, callback, future  # nothing is held while there is nothing to tell
