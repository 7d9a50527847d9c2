"""Slaves that are kept by actors of Ray's, as the master sees them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import ray
from ray.util import get_node_ip_address

from imp_parallel_core import Sent, SentLaunch, explained

from ._joining import join

if TYPE_CHECKING:
    from . import RaySlaveArray

_LOOK_S = 2.0  # an actor answers at the latest after so long, or when its slave ends
_WAIT_S = 0.5


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
    """The actors of an array of slaves, which are asked how they are.

    Raises LaunchError if the array has the address of a cluster that can't be joined.
    """

    def __init__(self, slaves: RaySlaveArray) -> None:
        super().__init__(slaves)
        if slaves.address is not None:
            join(slaves.address)

    def why_closed(self) -> str:
        """Return why there is no cluster."""
        if ray.is_initialized():
            return ""
        text = (
            "the script has not joined a Ray cluster. Call ray.init(…) before add_slave(), or give "
            'RaySlaveArray its address="…".'
        )
        return explained(text, "ray-not-joined")

    def machines(self) -> Iterable[str]:
        """Return the nodes that the cluster has now."""
        return sorted({str(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]})

    def is_private(self, machine: str) -> bool:
        """Whether Ray encrypts, or the node is this machine."""
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            return True
        is_client = ray.util.client.ray.is_connected()  # it is not on a node
        return not is_client and machine == get_node_ip_address()

    def submit(self, starts: Mapping[int, Sent], archive: bytes) -> None:
        """Start the actors, and ask each where it is: only then is it sent its slave's start."""
        self._starts = starts
        self._archive = ray.put(archive)
        actor_class = ray.remote(_actor_class()).options(**self.slaves.needs)
        self._actors = {index: actor_class.remote() for index in starts}
        self._questions = {actor.where.remote(): index for index, actor in self._actors.items()}
        self.keep_asking(self._hear)

    def _hear(self) -> bool:
        """Take the actors' answers, and ask them anew."""
        answered, _ = ray.wait(list(self._questions), timeout=_WAIT_S)
        for question in answered:
            index = self._questions.pop(question)
            try:
                again = self._take(index, ray.get(question))
            except Exception as problem:  # Ray has many kinds
                self.failed(index, getattr(problem, "cause", None) or problem)
                again = None
            if again is None:
                self.drop(index)  # what it holds of its node is free again
            else:
                self._questions[again] = index
        return bool(self._questions)

    def _take(self, index: int, answer: Any) -> Any:
        """Take an actor's answer; return the next question."""
        if isinstance(answer, str):  # where it is
            self.demand_privacy([answer])
            return self._actors[index].start.remote(self._starts[index], self._archive)
        self.reported(answer)
        has_ended = answer["exit_code"] is not None
        return None if has_ended else self._actors[index].look.remote(_LOOK_S)

    def reason(self) -> str:
        """Return what is free."""
        free, there = ray.available_resources(), ray.cluster_resources()
        needs = self.slaves.needs
        names = ["CPU", *(["GPU"] if needs["num_gpus"] else []), *needs["resources"]]
        counts = (f"{free.get(name, 0):g} of {there.get(name, 0):g} {name}" for name in names)
        return f"of {self.cluster()}, {', '.join(counts)} are free"

    def drop(self, index: int) -> None:
        """Kill an actor; Ray takes it out of its queue if it waits."""
        ray.kill(self._actors[index])
        self.ended(index, "its Ray actor was killed")
