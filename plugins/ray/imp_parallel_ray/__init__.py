"""Slaves on the nodes of a Ray cluster, wherever that runs.

Ray itself is imported when slaves are added: every script loads this package where it is installed,
also one that has no use for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imp_parallel_core import Bootstrap, Launch, SentSlaveArray, Slave, hookimpl

if TYPE_CHECKING:
    from ._launch import RayLaunch

__all__ = ["RaySlaveArray"]


class RaySlaveArray(SentSlaveArray):
    """Slaves on the nodes of a Ray cluster: of the one that the script has joined, by ``ray.init``.

    Each is kept by an actor of Ray's, for as long as it lives. Nothing need be installed on the
    nodes but Ray.

    Args:
        count: how many slaves.
        num_cpus: how many of a node's CPUs each takes, as Ray counts them.
        num_gpus: how many of its GPUs; Ray tells the slave which, in ``CUDA_VISIBLE_DEVICES``.
        resources: what else each needs of a node, such as ``{"big_memory": 1}``.
        address: the cluster that the script joins if it has not joined any, as for ``ray.init``:
            ``"auto"``, or ``"head:6379"``. The script leaves it at its end, or by
            ``ray.shutdown()``.
        trusted_network: whether slaves may be started on other machines although Ray does not
            encrypt what it sends, and others might read each slave's credentials.
        threads: how many threads numeric libraries start in a slave's tasks. By default
            ``"granted"``: as many as ``num_cpus``, but at least one. The usual variables
            (``OMP_NUM_THREADS`` and the like) are set to this number, except for those that the
            user has set, on the node or else in the master's environment. None leaves all of them
            alone.
        environment: variables to add to the environment of the slaves. Never a secret, since
            messages show the description.

    Raises ValueError.
    """

    system = "Ray"
    kept_by = "Ray actor"
    requirement = "ray"
    explained_by = ("ray-actor-failed",)
    privacy_advice = "Let Ray use TLS (RAY_USE_TLS=1, on all nodes and here)."

    def __init__(
        self,
        count: int,
        num_cpus: float = 1,
        num_gpus: float = 0,
        *,
        resources: Mapping[str, float] | None = None,
        address: str | None = None,
        trusted_network: bool = False,
        threads: int | str | None = "granted",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            count,
            {"num_cpus": num_cpus, "num_gpus": num_gpus, "resources": dict(resources or {})},
            trusted_network=trusted_network,
            threads=max(1, int(num_cpus)) if threads == "granted" else threads,
            environment=environment,
        )
        self.address = address

    def __repr__(self) -> str:
        text = super().__repr__()
        return text if self.address is None else f"{text[:-1]}, address={self.address!r})"

    def launch_type(self) -> type[RayLaunch]:
        """Import Ray."""
        from ._launch import RayLaunch

        return RayLaunch


@hookimpl
def imp_parallel_launch(slaves: Slave, bootstraps: Sequence[Bootstrap]) -> Launch | None:
    """Start the actors."""
    return slaves.launch(bootstraps) if isinstance(slaves, RaySlaveArray) else None


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave class of this plugin."""
    return {"RaySlaveArray": RaySlaveArray}


@hookimpl
def imp_parallel_explanations() -> str:
    """Return what explains the errors of this plugin."""
    from pathlib import Path

    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")
