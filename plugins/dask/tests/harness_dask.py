"""A Dask cluster, as the tests of all systems that run functions see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imp_parallel_dask import DaskSlaveArray

from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from distributed import Client


def array_at(address: str) -> DaskSlaveArray:
    """Return an array on the cluster at an address, also in a script of its own."""
    from distributed import Client

    try:
        client = Client.current()
    except ValueError:
        client = Client(address)
    return DaskSlaveArray(client, 1)


def tasks_of(client: Client) -> list[str]:
    """Return the tasks that the scheduler knows; it hears a moment later of what is released."""
    return list(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))


class DaskHome:
    """A cluster of two workers with a thread each."""

    said_in_readme = "tls://scheduler:8786"
    folder = Path(__file__).parents[1]
    said_of_no_room = "the 2 threads of the 2 workers"
    said_of_end = r"its Dask task (is|was) cancelled"
    requirement = "distributed"
    modules: Sequence[str] = ("distributed", "dask", "tornado")
    array_in_vain = "DaskSlaveArray(None, 1)"
    array_nowhere = "DaskSlaveArray('tcp://127.0.0.1:1', 1)"
    array_there = "DaskSlaveArray(client, 4)"

    def __init__(self, client: Client) -> None:
        self._client = client
        self.address = client.scheduler.address
        self.array_by_address = f"DaskSlaveArray({self.address!r}, 1)"
        self.joins = (
            "from distributed import Client\n"
            "from imp_parallel_dask import DaskSlaveArray\n"
            f"client = Client({self.address!r})"
        )

    def array(self, count: int = 1, **options: Any) -> DaskSlaveArray:
        """Describe slaves."""
        return DaskSlaveArray(self._client, count, **options)

    def maker(self) -> Callable[[], DaskSlaveArray]:
        """Return what describes one slave, also in a script of its own."""
        return partial(array_at, self.address)

    def end(self, pid: int) -> None:
        """Cancel all tasks."""
        from distributed import Future

        futures = [Future(key, self._client) for key in tasks_of(self._client)]
        self._client.cancel(futures, force=True)

    def wait_until_empty(self) -> None:
        """Wait until the scheduler knows no task."""
        wait_until(lambda: not tasks_of(self._client), what=f"no {tasks_of(self._client)}")

    def queued(self) -> int:
        """Return how many tasks the scheduler knows."""
        return len(tasks_of(self._client))

    def said(self) -> str:
        """Return logs, events, and what the scheduler would show of its tasks."""
        client = self._client
        logs = [client.get_worker_logs(), client.get_scheduler_logs(), client.get_events()]
        return str([*logs, client.run_on_scheduler(_shown_tasks)])


def _shown_tasks(dask_scheduler: Any) -> str:
    return str([(task, task.run_spec) for task in dask_scheduler.tasks.values()])
