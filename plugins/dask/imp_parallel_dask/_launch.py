"""Slaves as tasks of Dask's, as the master sees them."""

from __future__ import annotations

import ipaddress
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from distributed import Client

from imp_parallel_core import (
    Bootstrap,
    LaunchError,
    LaunchPhase,
    LaunchState,
    Sent,
    SentLaunch,
    sent_slave,
    slave_archive,
)

from ._keep import keep

if TYPE_CHECKING:
    from . import DaskSlaveArray

_logger = logging.getLogger("imp_parallel.dask")

_ANSWER_S = 10.0
_PRIVATE = ("tls", "wss", "inproc", "gateway")  # the protocols that others can't read


def check_client(client: Client, *, trusted_network: bool) -> None:
    """Raise LaunchError if slaves can't be submitted by this client, or had better not be."""
    if not isinstance(client, Client) or client.asynchronous:
        raise LaunchError(
            f"{type(client).__name__} is no client that waits for Dask's answers. Give "
            "DaskSlaveArray a distributed.Client(…) that was made without asynchronous=True."
        )
    if client.status != "running":
        raise LaunchError(f"the Dask client is {client.status}. Make a new one: Client(address).")
    try:
        there = _ask(client, client.scheduler.identity)
    except (OSError, TimeoutError) as problem:
        text = f"the Dask scheduler at {client.scheduler.address} does not answer. Look at its log."
        raise LaunchError(text) from problem
    addresses = [client.scheduler.address, str(there["address"])]
    plain = [address for address in addresses if _can_be_read(address)]
    if plain and not trusted_network:
        raise LaunchError(
            f"Dask sends what slaves need to prove who they are over {plain[0]}, where others may "
            "read it. Let Dask use TLS (Client(…, security=…), and the same for its cluster). Or "
            "give DaskSlaveArray trusted_network=True, if nobody else can read that network, or "
            "reach this scheduler."
        )


def _can_be_read(address: str) -> bool:
    protocol, _, place = address.partition("://")
    host = place.rpartition(":")[0].strip("[]")
    try:
        return protocol not in _PRIVATE and not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return True


def _ask(client: Client, question: Any) -> Any:
    return client.sync(question, callback_timeout=_ANSWER_S)


class DaskLaunch(SentLaunch):
    """The tasks of an array of slaves."""

    def __init__(self, slaves: DaskSlaveArray, bootstraps: Sequence[Bootstrap]) -> None:
        super().__init__(bootstraps, _logger, slaves)
        self._client, self._resources = slaves.client, slaves.resources
        self._workers: dict[int, str] = {}
        self._topic = f"imp_parallel_slave-{uuid.uuid4().hex}"
        self._client.subscribe_topic(self._topic, self._take)
        archive = slave_archive(bootstraps[0].slave_modules)
        self._futures = {
            bootstrap.index: self._client.submit(
                Sent(keep, self._topic, bootstrap.index, sent_slave(bootstrap), archive),
                key=f"{self._topic}-{bootstrap.index}",
                pure=False,
                resources=self._resources or None,
            )
            for bootstrap in bootstraps
        }

    def _take(self, event: tuple[float, dict[str, Any]]) -> None:
        report = event[1]
        self._workers[report["index"]] = report["at"]
        self.reported(report["index"], report)

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave; ask Dask which workers it has."""
        if self._client.status != "running":
            for index in self._futures:
                self.ended(index, f"the Dask client is {self._client.status}")
            return super().poll()
        for index, future in self._futures.items():
            if future.status in ("cancelled", "lost"):
                self.ended(index, f"its Dask task is {future.status}")
            elif future.status == "error":
                problem = future.exception(_ANSWER_S)
                self.ended(index, f"its Dask task failed: {type(problem).__name__}: {problem}")
        workers = {index: self._workers[index] for index in self.in_phase(LaunchPhase.RUNNING)}
        threads = _ask(self._client, self._client.scheduler.ncores)
        for index, worker in workers.items():
            if worker not in threads and worker == self._workers[index]:
                why = f"its Dask worker {worker} has gone, and Dask starts it anew"
                self.queued_again(index, why)
        if self.in_phase(LaunchPhase.QUEUED):
            self.wait_for_room(self._reason(threads))
        return super().poll()

    def _reason(self, threads: Mapping[str, int]) -> str:
        address = self._client.scheduler.address
        if not threads:
            return f"the Dask cluster at {address} has no workers yet"
        if self._resources:
            return f"no Dask worker at {address} has room for a task with {self._resources}"
        count = f"{sum(threads.values())} threads of the {len(threads)} workers"
        return f"the {count} of the Dask cluster at {address} have other tasks"

    def drop(self, index: int) -> None:
        """Release a task, which cancels it."""
        self._futures[index].release()
        if self._client.status != "running":
            self.ended(index, "the Dask client is closed")

    def cancel(self, grace_s: float) -> None:
        """Release all tasks, and hear no more reports."""
        super().cancel(grace_s)
        if self._client.status == "running":
            self._client.unsubscribe_topic(self._topic)
