"""What is compared: this library, and others that do tasks in processes of the same machine."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from typing import Any

from slaves import wait_until_idle
from tasks import call

Task = Callable[[], Any]


class Peer:
    """One way to run tasks in ``slaves`` processes. Used in a ``with`` statement.

    Args:
        slaves: how many processes.
    """

    name = ""
    needs = ""  # a module that has to be installed

    def __init__(self, slaves: int = 2) -> None:
        self.slaves = slaves
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Peer:
        try:
            self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @classmethod
    def is_installed(cls) -> bool:
        """Whether it can be measured here."""
        return not cls.needs or importlib.util.find_spec(cls.needs) is not None

    def start(self) -> None:
        """Start the processes."""
        raise NotImplementedError

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Have tasks run, and yield the results as they come."""
        raise NotImplementedError


class Ours(Peer):
    """This library, with local slaves."""

    name = "imp-parallel"
    threads: int | None = 1

    def start(self) -> None:
        """Start the slaves."""
        from imp_parallel_local import LocalSlave

        from imp_parallel_core import Manager

        logging.getLogger("imp_parallel").setLevel(logging.CRITICAL)  # some kill what is theirs
        self.manager = self._stack.enter_context(Manager(output=None))
        for _ in range(self.slaves):
            self.manager.add_slave(LocalSlave(threads=self.threads))
        self.context = self.manager.get_context()
        wait_until_idle(self.manager)

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Add all tasks, then read."""
        for task in tasks:
            self.context.add_task(task)
        return self.context.get_results_unordered()


class Pool(Peer):
    """``multiprocessing.Pool``, which forks, and knows nothing of its processes' deaths."""

    name = "Pool"

    def start(self) -> None:
        """Fork the processes."""
        self._pool = self._stack.enter_context(
            multiprocessing.get_context("fork").Pool(self.slaves)
        )

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Map in any order, one task at a time."""
        return self._pool.imap_unordered(call, tasks, chunksize=1)


class _Executor(Peer):
    executor: Executor

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Submit all tasks, then read."""
        futures = [self.executor.submit(task) for task in tasks]
        return (future.result() for future in as_completed(futures))


class Futures(_Executor):
    """``concurrent.futures.ProcessPoolExecutor``, forking."""

    name = "ProcessPoolExecutor"

    def start(self) -> None:
        """Make the executor; it forks when it gets tasks."""
        context = multiprocessing.get_context("fork")
        self.executor = self._stack.enter_context(ProcessPoolExecutor(self.slaves, context))


class Loky(_Executor):
    """loky's executor, which spawns and pickles by value."""

    name = needs = "loky"

    def start(self) -> None:
        """Make the executor."""
        from loky import ProcessPoolExecutor as LokyExecutor

        self.executor = self._stack.enter_context(LokyExecutor(self.slaves))


class Dask(Peer):
    """dask.distributed with processes on this machine."""

    name = "dask.distributed"
    needs = "distributed"

    def start(self) -> None:
        """Start scheduler and workers."""
        from distributed import Client, LocalCluster

        cluster = LocalCluster(
            n_workers=self.slaves, threads_per_worker=1, dashboard_address=None, silence_logs=50
        )
        self._stack.enter_context(cluster)
        self._client = self._stack.enter_context(Client(cluster))

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Submit all tasks, then read."""
        from distributed import as_completed as completed

        futures = self._client.map(call, list(tasks), pure=False)
        return (result for _, result in completed(futures, with_results=True))


class Joblib(Peer):
    """joblib, which writes large arrays to files that the processes map."""

    name = needs = "joblib"

    def start(self) -> None:
        """Have it keep its processes from call to call."""
        from joblib import Parallel

        self._parallel = self._stack.enter_context(
            Parallel(self.slaves, return_as="generator_unordered", batch_size=1)
        )

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Run all tasks, and yield the results as they come."""
        from joblib import delayed

        results: Iterator[Any] = self._parallel(delayed(call)(task) for task in tasks)
        return results


PEERS: list[type[Peer]] = [Ours, Pool, Futures, Loky, Dask, Joblib]

GENERAL = tuple(peer.name for peer in PEERS if peer is not Joblib)
"""Those of every measure that names no others."""
