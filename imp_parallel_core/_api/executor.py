"""An executor: the interface of ``concurrent.futures``, on a Manager's slaves.

Its futures get their results from a thread of :mod:`.pending_futures`.
"""

from __future__ import annotations

import concurrent.futures
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, NoReturn, TypeVar

from .open_context import OpenContext
from .pending_futures import PendingFutures, TaskFuture

_T = TypeVar("_T")


class Executor(concurrent.futures.Executor):
    """Calls functions on slaves. Made by ``Manager.get_executor``.

    It does what ``concurrent.futures`` says of executors, and more: the set-up is run once on each
    slave, and its values come first among the arguments; a future can be cancelled while its call
    runs; and when no slave is left, or too many calls have failed, futures get that error instead
    of waiting.
    """

    def __init__(self, opened: OpenContext) -> None:
        self._pending = PendingFutures(opened)
        finalizer = weakref.finalize(self, self._pending.shut)
        finalizer.atexit = False  # the Manager ends everything then

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """Have ``fn(*values_of_the_setup, *args, **kwargs)`` called on a slave; return its future.

        If the call raises an exception, the future has that; its ``__cause__`` (or, if it has one
        of its own, a note) is the RemoteError with the slave and the traceback there. If the
        exception could not be rebuilt, the future has the RemoteError. A call that ended its
        process each time gives a TaskLostError, a set-up that failed a SetupError.

        Raises:
            RuntimeError: :meth:`shutdown` has been called.
            TypeError: ``fn`` can't be called.
            PicklingError: something in the call can't be pickled.
            ClosedError: the Manager has been closed.
        """
        return self._pending.submit(fn, args, kwargs)

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[_T]:
        """Return an iterator over ``fn(*values_of_the_setup, *items)``, in the items' order.

        All items are taken at once, unless ``buffersize`` says how many calls may be on their way
        or have results that have not been read. When the iterator is closed, or no longer referred
        to, the calls whose results it has not yielded are cancelled.

        Args:
            fn: any callable.
            iterables: the arguments; the shortest one ends the calls.
            timeout: how long after this call a result may be waited for, in seconds; then the
                iterator raises a TimeoutError.
            chunksize: of no effect, since short tasks travel together anyway.
            buffersize: see above; by default there is no limit.

        Raises what :meth:`submit` raises, and TypeError or ValueError for bad arguments.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be at least 1")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an int, or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be at least 1")
        until = None if timeout is None else time.monotonic() + timeout
        calls = zip(*iterables, strict=False)
        first = calls if buffersize is None else islice(calls, buffersize)
        futures = deque(self._pending.submit(fn, items, {}) for items in first)
        more = calls if buffersize is not None else iter(())
        return self._results(fn, futures, more, until)

    def _results(
        self,
        fn: Callable[..., Any],
        futures: deque[TaskFuture],
        more: Iterator[tuple[Any, ...]],
        until: float | None,
    ) -> Iterator[Any]:
        try:
            while futures:
                left_s = None if until is None else until - time.monotonic()
                result = futures[0].result(left_s)
                futures.popleft()
                futures.extend(self._pending.submit(fn, items, {}) for items in islice(more, 1))
                yield result
        finally:
            self._pending.cancel(futures)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and let go of the set-up's values when those that were taken end.

        This happens by itself at the end of a ``with`` statement, where calls are waited for, and
        when the executor is no longer referred to. May be called twice.

        Args:
            wait: whether to return only when all futures are done.
            cancel_futures: whether to cancel the calls that have not begun.
        """
        self._pending.shut()
        if cancel_futures:
            self._pending.cancel_waiting()
        if wait:
            self._pending.join()

    def __reduce__(self) -> NoReturn:
        from .nesting import refuse_to_be_pickled

        refuse_to_be_pickled(self)
