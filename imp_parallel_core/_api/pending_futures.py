"""The futures of one executor that have no result yet, and the thread that gives them theirs.

Whoever takes a future out of the pending ones, in one atomic step, says how it ends: the thread
with an outcome, or a thread that has cancelled the task.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .._errors import ClosedError, Error, NoMoreSlavesError
from .._scheduler.tasks import OutcomeKind
from .interrupts import put_off
from .open_context import OpenContext, not_callable

if TYPE_CHECKING:
    from .._scheduler.actions import Deliver
    from .._scheduler.tasks import Task

_CHECK_S = 1.0  # how often the thread looks whether the executor has been shut
_logger = logging.getLogger("imp_parallel.executor")


class TaskFuture(concurrent.futures.Future[Any]):
    """The future of a call on a slave."""

    def __init__(self, pending: PendingFutures, task: Task) -> None:
        super().__init__()
        self._pending: PendingFutures | None = pending  # until it is done
        self._task: Task | None = task

    def cancel(self) -> bool:
        """Cancel the call, also if it runs; return False if it has its result.

        A call that runs is ended at once, whatever it does: its process is killed, and the slave
        goes on with a new one. So a future that is not done can always be cancelled.
        """
        pending = self._pending
        if pending is not None:
            pending.cancel([self])
        return self.cancelled()

    def running(self) -> bool:
        """Return whether a slave is at the call."""
        pending, task = self._pending, self._task
        return pending is not None and task is not None and pending.is_begun(task)

    def __repr__(self) -> str:
        text = super().__repr__()
        return text.replace("state=pending", "state=running") if self.running() else text

    def _settle(self, settle: Callable[[Any], object], how: Any) -> None:
        """Let the future be done, and hold nothing but its result any more."""
        self._pending = self._task = None
        try:
            settle(how)
        except concurrent.futures.InvalidStateError:  # the user has given it a result
            pass
        except BaseException:  # SystemExit in a callback, say: the other futures are waited for
            _logger.exception("a callback of %r raised", self)

    def _settle_as_cancelled(self) -> None:
        self._settle(_cancel, self)


def _cancel(future: TaskFuture) -> None:
    if concurrent.futures.Future.cancel(future):
        future.set_running_or_notify_cancel()  # which tells those who wait


class PendingFutures:
    """Submits calls, and gives their futures what has become of them.

    Args:
        opened: the context of the calls, which nobody else uses. It is closed at the end.
    """

    def __init__(self, opened: OpenContext) -> None:
        self._open = opened
        self._futures: dict[Task, TaskFuture] = {}
        # taken without the condition, whose own methods a Ctrl-C may strike before they release it
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._is_shut = False
        self._is_idle = False  # the thread waits for a call
        self._thread: threading.Thread | None = None

    # ---- called by those who use the executor

    def submit(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> TaskFuture:
        """Add a call, as ``Executor.submit`` says."""
        self._check()
        self._open.check()
        if not callable(fn):
            raise not_callable(fn)
        task = self._open.make_task(self._open.inbox, fn, args, kwargs)
        future = TaskFuture(self, task)
        with self._lock:
            self._check()
            task.inbox = self._open.inbox  # another one if all slaves have gone meanwhile
            self._futures[task] = future
            try:
                self._open.add(task)
            finally:
                if task.number < 0:  # a Ctrl-C came before
                    del self._futures[task]
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="imp_parallel futures", daemon=True
                )
                self._thread.start()
            if self._is_idle:
                self._changed.notify_all()
        return future

    def _check(self) -> None:
        if self._is_shut:
            raise RuntimeError("this executor has been shut down, and takes no more calls")

    def cancel(self, futures: Iterable[TaskFuture]) -> None:
        """Cancel calls that have no result, and end those that run."""
        known = {task: future for future in futures if (task := future._task) is not None}
        with put_off():  # else futures that are half cancelled would be waited for in vain
            cancelled = self._open.requests.cancel_tasks(known) if known else []
            self._settle_cancelled(cancelled)
        concurrent.futures.wait([known[task] for task in cancelled])  # the thread may be at some

    def cancel_waiting(self) -> None:
        """Cancel all calls that have not begun."""
        with put_off():
            self._settle_cancelled(self._open.requests.cancel_waiting_tasks())

    def _settle_cancelled(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            future = self._futures.pop(task, None)
            if future is not None:
                future._settle_as_cancelled()

    def is_begun(self, task: Task) -> bool:
        """Whether a slave is at a call."""
        return self._open.requests.is_begun(task)

    def shut(self) -> None:
        """Take no more calls; close the context when the last one has its result."""
        with self._lock:
            self._is_shut = True
            self._changed.notify_all()
            if self._thread is None:
                self._open.close()

    def join(self) -> None:
        """Wait until all calls have their results."""
        if self._thread is not None:
            self._thread.join()

    # ---- the thread

    def _serve(self) -> None:
        """Give results to futures until none is left and no more are taken."""
        while self._futures or self._wait_for_calls():
            try:
                self._settle_next()
            except BaseException as problem:  # else all futures would be waited for in vain
                self._fail_all(problem)

    def _wait_for_calls(self) -> bool:
        """Return True when there is a future, or close the context and return False."""
        with self._changed:
            while not self._futures:
                if self._is_shut:
                    self._open.close()
                    return False
                self._is_idle = True
                # not for ever: shut() may have been called in this very thread, as a finalizer
                self._changed.wait(_CHECK_S)
                self._is_idle = False
        return True

    def _settle_next(self) -> None:
        """Wait for an outcome, and give it to its future. Raises what is the end of all futures."""
        inbox = self._open.inbox
        opened = self._open.results.take_next(inbox, in_order=False)
        if opened is None:  # those that are left are being cancelled by other threads
            with self._changed:
                self._changed.wait(0.01)
            return
        delivery, value, failure = opened
        inbox.note_read(delivery)
        inbox.claim(delivery.task.number, None)
        future = self._futures.pop(delivery.task, None)
        if future is None:
            pass  # it was cancelled
        elif delivery.outcome.kind is OutcomeKind.CANCELLED:
            future._settle_as_cancelled()
        elif failure is None:
            future._settle(future.set_result, value)
        else:
            future._settle(future.set_exception, _as_itself(delivery, failure))

    def _fail_all(self, problem: BaseException) -> None:
        with self._changed:
            popped = [self._futures.pop(task, None) for task in list(self._futures)]
            if isinstance(problem, NoMoreSlavesError):  # slaves that are added must not run these
                with contextlib.suppress(ClosedError):
                    self._open.clear()
        failed = [future for future in popped if future is not None]  # others were just cancelled
        if failed and isinstance(problem, NoMoreSlavesError):
            _tell_how_many(len(failed), problem)
        for future in failed:
            future._settle(future.set_exception, _one_more(problem))


def _tell_how_many(failed: int, problem: NoMoreSlavesError) -> None:
    """Tell in the log that futures fail, and why, in a line: nobody may ever look at them."""
    first_line = f": {problem.failures[0]}".partition("\n")[0] if problem.failures else ""
    calls = f"{failed} call{'' if failed == 1 else 's'}"
    _logger.warning("no slave is left for %s, whose futures say why%s", calls, first_line)


def _one_more(problem: BaseException) -> BaseException:
    """Return a copy of an exception: the traceback of one that several raise would grow."""
    return copy.copy(problem) if isinstance(problem, Error) else problem


def _as_itself(delivery: Deliver, failure: Error) -> BaseException:
    """Return the exception that a call raised, with the error that tells where, or that error."""
    from .._task_errors import RemoteError  # most calls return

    raised = delivery.outcome.kind is OutcomeKind.RAISED
    if not (raised and isinstance(failure, RemoteError)) or failure.exc is None:
        return failure
    exc = failure.exc
    failure.__cause__ = None  # it will be the cause
    if exc.__cause__ is None:
        exc.__cause__ = failure
    else:
        exc.add_note(str(failure))
    return exc
