"""Slaves as tasks of Dask's, as the master sees them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distributed import Client, Future

from imp_parallel_core import Bootstrap, Sent, SentLaunch, explained

from ._keep import keep
from ._own_client import connected_to

if TYPE_CHECKING:
    from . import DaskSlaveArray

_ANSWER_S = 10.0
_PRIVATE = ("tls", "wss", "inproc", "gateway")  # the protocols that others can't read


class DaskLaunch(SentLaunch):
    """The tasks of an array of slaves, which report by Dask's events.

    Raises LaunchError if the array has the address of a cluster that can't be reached.
    """

    def __init__(self, slaves: DaskSlaveArray) -> None:
        super().__init__(slaves)
        self._own: Client | None = None
        if isinstance(slaves.client, str):
            self._own = connected_to(slaves.client)
        self._client: Client = self._own or slaves.client
        self._resources = slaves.needs["resources"]
        self._topic = f"imp_parallel_slave-{uuid.uuid4().hex}"
        self._futures: dict[int, Future] = {}

    def check(self) -> None:
        """Raise LaunchError if it is known at once that slaves can't be started."""
        try:
            super().check()
        finally:
            self._close_own()

    def start(self, bootstraps: Sequence[Bootstrap]) -> None:
        """Start slaves."""
        try:
            super().start(bootstraps)
        except BaseException:
            self._close_own()
            raise

    def cancel(self, grace_s: float) -> None:
        """End the slaves."""
        try:
            super().cancel(grace_s)
        finally:
            self._close_own()

    def _close_own(self) -> None:
        if self._own is not None:
            self._own.close(timeout=_ANSWER_S)

    def why_closed(self) -> str:
        """Return why the client can't be used."""
        client = self._client
        if not isinstance(client, Client) or client.asynchronous:
            text = (
                f"{type(client).__name__} is no client that waits for Dask's answers. Give "
                "DaskSlaveArray a distributed.Client(…) that was made without asynchronous=True, "
                "or the address of the cluster."
            )
            return explained(text, "dask-client")
        if client.status == "running":
            return ""
        text = f"the Dask client is {client.status}. Make a new one: Client(…)."
        return explained(text, "dask-client")

    def cluster(self) -> str:
        """Return the cluster's name, which is its scheduler's address."""
        return f"the Dask cluster at {self._client.scheduler.address}"

    def machines(self) -> Iterable[str]:
        """Return the scheduler's address, as it is known here and as Dask tells it."""
        there = self._ask(self._client.scheduler.identity)
        return self._client.scheduler.address, str(there["address"])

    def is_private(self, machine: str) -> bool:
        """Whether Dask encrypts, or stays here."""
        return machine.partition("://")[0] in _PRIVATE or super().is_private(machine)

    def submit(self, starts: Mapping[int, Sent], archive: bytes) -> None:
        """Submit the tasks."""
        self._client.subscribe_topic(self._topic, lambda event: self.reported(event[1]))
        for index, start in starts.items():
            self._futures[index] = self._client.submit(
                Sent(keep, self._topic, start, archive),
                key=f"{self._topic}-{index}",
                pure=False,
                resources=self._resources or None,
            )

    def look(self) -> None:
        """Find tasks that have ended, and workers that have gone."""
        for index, future in self._futures.items():
            if future.status in ("cancelled", "lost"):
                self.ended(index, f"its Dask task is {future.status}")
            elif future.status == "error":
                self.failed(index, future.exception(_ANSWER_S))
        self._threads: Mapping[str, int] = self._ask(self._client.scheduler.ncores)
        self.restarted_unless_at(self._threads)

    def reason(self) -> str:
        """Return what the workers lack."""
        workers = f"workers of {self.cluster()}"
        if not self._threads:
            return f"{self.cluster()} has no workers yet"
        if self._resources:
            return f"none of the {workers} has room for a task with {self._resources}"
        count = f"{sum(self._threads.values())} threads of the {len(self._threads)}"
        return f"the {count} {workers} have other tasks"

    def drop(self, index: int) -> None:
        """Release a task, which cancels it."""
        self._futures[index].release()

    def close(self) -> None:
        """Hear no more reports."""
        self._client.unsubscribe_topic(self._topic)

    def _ask(self, question: Any) -> Any:
        return self._client.sync(question, callback_timeout=_ANSWER_S)
