"""The backend, as joblib calls it (``joblib.parallel.ParallelBackendBase``)."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any

from joblib.parallel import (
    AutoBatchingMixin,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from imp_parallel_core import Manager, NoMoreSlavesError

from ._calls import Calls
from ._teller import Teller, tell_at_once

_PAST_WORK = ("leaving", "gone")  # states of slaves


class ManagerBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no type hints
    """Runs the tasks of ``joblib.Parallel`` on the slaves of a Manager.

    Use it as ``with joblib.parallel_config("imp_parallel", manager=manager):``. In this block, a
    ``Parallel`` that is not told ``n_jobs`` uses all slaves.

    Without a set-up, each ``Parallel`` has a context of its own, so nothing that its functions
    refer to is held for longer. With one, all have one context, and the set-up is run once on each
    slave.

    joblib has one backend for a whole block. This one has each ``Parallel`` use a backend of its
    own, so that the failure of one does not end the tasks of another, which may be called by
    another thread, or be read as a generator.

    Args:
        manager: its slaves are used, also those that others use at the same time. Add one first.
        startup: a set-up, called once on each slave before its first task, for what it does: set a
            global that the tasks use, say. What it returns is dropped.
        nesting_level: given by joblib.
        options: those of ``Manager.get_context``, such as ``task_timeout_s``, which holds for each
            batch of tasks.

    Raises TypeError if ``manager`` is none.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True

    def __init__(
        self,
        manager: Manager | None = None,
        startup: Callable[[], Any] | None = None,
        *,
        nesting_level: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(nesting_level=nesting_level)
        if not isinstance(manager, Manager):
            raise TypeError(
                f"manager={manager!r}: joblib needs a Manager, whose slaves run the tasks: "
                'with joblib.parallel_config("imp_parallel", manager=manager): …'
            )
        self._manager = manager
        self._setup = None if startup is None else _without_values(startup)
        # (the name of its first task would be that of joblib's batches)
        self._options = {"name": "joblib", **options} if startup is None else options
        self._block: ManagerBackend | None = None
        """The backend of the block, of a backend for one ``Parallel``."""
        self._lock = threading.Lock()  # of threads that share the block's
        self._call_back: Callable[[Callable[[Future[Any]], object], Future[Any]], None]
        self._call_back = tell_at_once
        self._executor: Executor | None = None
        self._calls: Calls | None = None
        self._limit: int | None = None
        self._calls_under_way = 0

    # ---- how many tasks at once

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once: all slaves for -1, one less for -2, and so on.

        Never 1, unless that is what was asked for: joblib would run everything in the script
        itself, and not on the only slave.

        Raises:
            ValueError: ``n_jobs`` is 0.
            NoMoreSlavesError: the Manager has no slave.
            ClosedError: the Manager has been closed.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs=0: it must be a number of slaves, or -1 for all slaves")
        return 1 if n_jobs == 1 else max(2, _count_at_once(n_jobs, self._count_slaves()))

    def _count_slaves(self) -> int:
        count = sum(slave.state not in _PAST_WORK for slave in self._manager.slaves)
        if not count:
            self._manager.get_context().close()  # raises ClosedError if the Manager is closed
            raise NoMoreSlavesError("the Manager has no slave that joblib could use: add one")
        return count

    def configure(
        self, n_jobs: int = 1, parallel: Any = None, prefer: Any = None, **of_others: Any
    ) -> int:
        """Return :meth:`effective_n_jobs`; called before tasks are submitted.

        Options that joblib has for other backends (``max_nbytes``, ``temp_folder`` …) are passed
        over: large arrays are shared in any case.

        Raises FallbackToBackend, which has joblib use another backend for ``parallel``.
        """
        if self._block is None:
            raise FallbackToBackend(self._for_one_parallel())
        self.parallel = weakref.proxy(parallel)  # it has this backend, and must not wait for gc
        effective = self.effective_n_jobs(n_jobs)
        if effective > 1:
            slaves = self._count_slaves()
            at_once = _count_at_once(n_jobs, slaves)
            self._limit = None if at_once == slaves else at_once
        return effective

    def _for_one_parallel(self) -> ManagerBackend:
        made = ManagerBackend(self._manager, nesting_level=self.nesting_level, **self._options)
        made._setup, made._block = self._setup, self
        if self._setup is not None:
            made._call_back = Teller().tell
        return made

    # ---- calls of Parallel

    def start_call(self) -> None:
        """Get an executor; called at the beginning of each call of a ``Parallel``."""
        _forget_what_is_left(self.parallel)
        of_all = self._block if self._setup is not None else None
        self._executor = (of_all or self)._get_executor()
        if self._calls is None or self._calls.is_cancelled:
            self._calls = Calls(self._executor, self._limit)
        self._calls_under_way += 1

    def _get_executor(self) -> Executor:
        with self._lock:
            if self._executor is None:
                self._executor = self._manager.get_executor(self._setup, **self._options)
            return self._executor

    def stop_call(self) -> None:
        """Note the end of such a call."""
        self._calls_under_way -= 1
        if not self._calls_under_way:
            if self._calls is not None and self._calls.are_left:
                self.abort_everything()  # a second Ctrl-C has struck before it was called
            self._calls = None  # the next one may have another limit

    def terminate(self) -> None:
        """Let go of the context, unless another call uses it, or it is the block's."""
        self.reset_batch_stats()
        executor = self._executor
        if executor is not None and self._setup is None and not self._calls_under_way:
            self._executor = None
            executor.shutdown(wait=False)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel all tasks, and end those that run: one has failed, or the script wants no more."""
        if self._calls is not None:  # which stays: the executor's thread may submit one more
            # a second Ctrl-C does not strike what is done in another thread
            thread = threading.Thread(target=self._calls.cancel, name="imp_parallel joblib")
            thread.start()
            thread.join()

    # ---- tasks

    def submit(
        self, func: Callable[[], Any], callback: Callable[[Future[Any]], object] | None = None
    ) -> Future[Any]:
        """Have a batch of tasks run on a slave; return its future, and tell when it is done."""
        calls = self._calls
        if calls is None:
            raise RuntimeError("tasks can be submitted within a call of joblib.Parallel only")
        future = calls.submit(func)
        if callback is not None:
            future.add_done_callback(partial(self._call_back, callback))
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """Return the results of a batch that is done, or raise what it has raised."""
        return out.result()

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Have what a task runs by joblib run within that task, one after the other."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None


def _forget_what_is_left(parallel: Any) -> None:
    """Remove the tasks that a call which failed has left in a ``Parallel`` (of joblib 1.6).

    They would be run by the next call, and their results would be among that one's.
    """
    left = getattr(parallel, "_ready_batches", None)
    if left is not None:
        left.queue.clear()


def _count_at_once(n_jobs: int | None, slaves: int) -> int:
    """Return how many slaves may be at tasks at once."""
    if n_jobs is None:
        return slaves
    return min(n_jobs, slaves) if n_jobs > 0 else max(1, slaves + 1 + n_jobs)


def _without_values(startup: Callable[[], Any]) -> Callable[[], None]:
    """Return a set-up that gives the tasks no arguments: those of joblib take none."""

    def setup() -> None:  # it travels by value: this package need not be on the slaves
        startup()

    setup.__qualname__ = getattr(startup, "__qualname__", type(startup).__qualname__)
    return setup
