"""Calls on an executor, of which a limited number is under way at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any


class Calls:
    """Submits calls to an executor: no more at once than some limit.

    Where the limit is the number of slaves, the executor's slaves are sent calls ahead.

    Args:
        executor: a Manager's.
        limit: how many slaves may be at calls at once; None for all.
    """

    def __init__(self, executor: Executor, limit: int | None) -> None:
        self._executor = executor
        self._limit = limit
        self._lock = threading.Lock()  # held for moments, and never while others are called
        self._waiting: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        # by the future that the caller has; None while the call is being submitted
        self._under_way: dict[Future[Any], Future[Any] | None] = {}
        self.is_cancelled = False
        """Whether :meth:`cancel` has been called: each call is cancelled at once then."""

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Return the future of a call. It also has what submitting the call raises.

        That may happen in the executor's own thread, when another call has ended.
        """
        future: Future[Any] = Future()
        with self._lock:
            is_cancelled = self.is_cancelled
            if not is_cancelled:
                self._waiting.append((call, future))
        if is_cancelled:
            _cancel(future)
        else:
            self._submit_some()
        return future

    @property
    def are_left(self) -> bool:
        """Whether there are calls that are not done."""
        return bool(self._waiting or self._under_way)

    def cancel(self) -> None:
        """Cancel all calls, and end those that run."""
        with self._lock:
            self.is_cancelled = True
            waiting = [future for _, future in self._waiting]
            self._waiting.clear()
            under_way = list(self._under_way.values())
        for future in waiting:
            _cancel(future)
        for submitted in reversed(under_way):  # those that have not begun first
            if submitted is not None:
                submitted.cancel()

    def _submit_some(self) -> None:
        """Submit calls that wait, up to the limit."""
        while taken := self._take_waiting():
            call, future = taken
            try:
                submitted = self._executor.submit(call)
            except Exception as problem:
                with self._lock:
                    del self._under_way[future]
                future.set_exception(problem)
                continue
            with self._lock:
                self._under_way[future] = submitted
            submitted.add_done_callback(partial(self._settle, future))
            if self.is_cancelled:  # meanwhile
                submitted.cancel()

    def _take_waiting(self) -> tuple[Callable[[], Any], Future[Any]] | None:
        with self._lock:
            is_full = self._limit is not None and len(self._under_way) >= self._limit
            if is_full or not self._waiting:
                return None
            call, future = self._waiting.popleft()
            self._under_way[future] = None
        return call, future

    def _settle(self, future: Future[Any], submitted: Future[Any]) -> None:
        with self._lock:
            del self._under_way[future]
        self._submit_some()
        if submitted.cancelled():
            _cancel(future)
        elif (problem := submitted.exception()) is not None:
            future.set_exception(problem)
        else:
            future.set_result(submitted.result())


def _cancel(future: Future[Any]) -> None:
    future.cancel()
    future.set_running_or_notify_cancel()  # which tells those who wait
