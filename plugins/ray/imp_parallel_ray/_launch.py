"""Slaves that are kept by actors of Ray's, as the master sees them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray.util import get_node_ip_address

from imp_parallel_core import (
    Bootstrap,
    LaunchError,
    LaunchPhase,
    LaunchState,
    SentLaunch,
    sent_slave,
    slave_archive,
)

if TYPE_CHECKING:
    from . import RaySlaveArray

_logger = logging.getLogger("imp_parallel.ray")

_LOOK_S = 2.0  # an actor answers at the latest after so long, or when its slave ends
_WAIT_S = 0.5
_NOT_PRIVATE = (
    "Ray sends what slaves need to prove who they are to {place}, and others may read it on the "
    "way. Let Ray use TLS (RAY_USE_TLS=1, on all nodes and here). Or give RaySlaveArray "
    "trusted_network=True, if nobody else can read that network, or reach this cluster."
)


def check_cluster(*, trusted_network: bool) -> None:
    """Raise LaunchError if there is no cluster, or if slaves had better not be started on it."""
    if not ray.is_initialized():
        raise LaunchError(
            "the script has not joined a Ray cluster. Call ray.init(…) before add_slave()."
        )
    nodes = {str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}
    for place in sorted(nodes):
        if not (trusted_network or _is_private(place)):
            raise LaunchError(_NOT_PRIVATE.format(place=place))


def _is_private(place: str) -> bool:
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return True
    is_client = ray.util.client.ray.is_connected()  # it is not on a node
    return not is_client and place == get_node_ip_address()


def _actor_class() -> type:
    """Return the class of the actors. Being no module's, it is sent to nodes as it is."""

    class ImpParallelSlave:
        def where(self) -> str:
            return str(get_node_ip_address())

        def start(self, sent: Any, archive: bytes) -> dict[str, Any]:
            self._slave = sent(archive)
            return self.look(0.0)

        def look(self, limit_s: float) -> dict[str, Any]:
            has_ended = self._slave.wait(limit_s)
            return dict(self._slave.end() if has_ended else self._slave.report())

    return ImpParallelSlave


class RayLaunch(SentLaunch):
    """The actors of an array of slaves, and a thread that hears of them."""

    def __init__(self, slaves: RaySlaveArray, bootstraps: Sequence[Bootstrap]) -> None:
        super().__init__(bootstraps, _logger, slaves)
        self._slaves = slaves
        self._bootstraps = {bootstrap.index: bootstrap for bootstrap in bootstraps}
        self._archive = ray.put(slave_archive(bootstraps[0].slave_modules))
        actor_class = ray.remote(_actor_class()).options(**slaves.needs)
        self._actors = {index: actor_class.remote() for index in self._bootstraps}
        self._questions = {actor.where.remote(): index for index, actor in self._actors.items()}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._hear, name=f"imp_parallel {slaves}")
        self._thread.daemon = True
        self._thread.start()

    def _hear(self) -> None:
        """Take the actors' answers, and ask them anew."""
        while self._questions and not self._is_over.is_set() and ray.is_initialized():
            answered, _ = ray.wait(list(self._questions), timeout=_WAIT_S)
            for question in answered:
                index = self._questions.pop(question)
                try:
                    again = self._take(index, ray.get(question))
                except Exception as problem:  # Ray has many kinds
                    cause = getattr(problem, "cause", None) or problem
                    reason = " ".join(str(cause).split())
                    self.ended(index, f"its Ray actor ended: {type(cause).__name__}: {reason}")
                    again = None
                if again is None:
                    self.drop(index)  # what it holds of its node is free again
                else:
                    self._questions[again] = index

    def _take(self, index: int, answer: Any) -> Any:
        """Take an actor's answer; return the next question."""
        actor = self._actors[index]
        if isinstance(answer, str):  # where it is
            if not (self._slaves.trusted_network or _is_private(answer)):
                raise LaunchError(_NOT_PRIVATE.format(place=answer))
            return actor.start.remote(sent_slave(self._bootstraps[index]), self._archive)
        self.reported(index, answer)
        return None if answer["exit_code"] is not None else actor.look.remote(_LOOK_S)

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave; ask Ray what is free, if some wait."""
        if not ray.is_initialized():
            for index in self._actors:
                self.ended(index, "Ray has been shut down in this script")
        elif self.in_phase(LaunchPhase.QUEUED):
            free, there = ray.available_resources(), ray.cluster_resources()
            names = ["CPU", *(["GPU"] if self._slaves.needs["num_gpus"] else [])]
            names += self._slaves.needs["resources"]
            counts = (f"{free.get(name, 0):g} of {there.get(name, 0):g} {name}" for name in names)
            self.wait_for_room(f"of the Ray cluster, {', '.join(counts)} are free")
        return super().poll()

    def drop(self, index: int) -> None:
        """Kill an actor; Ray takes it out of its queue if it waits."""
        if ray.is_initialized():
            ray.kill(self._actors[index])
        self.ended(index, "its Ray actor was killed")

    def cancel(self, grace_s: float) -> None:
        """Kill all actors, and ask them no more."""
        super().cancel(grace_s)
        self._is_over.set()
        self._thread.join(2 * _WAIT_S)
