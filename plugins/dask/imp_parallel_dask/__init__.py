"""Slaves on the workers of a Dask cluster, wherever that runs.

Dask itself is imported when slaves are added: every script loads this package where it is
installed, also one that has no use for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imp_parallel_core import Bootstrap, Launch, SentSlaveArray, Slave, hookimpl

if TYPE_CHECKING:
    from distributed import Client

    from ._launch import DaskLaunch

__all__ = ["DaskSlaveArray"]


class DaskSlaveArray(SentSlaveArray):
    """Slaves on the workers of a Dask cluster. Each is a task of Dask's, for as long as it lives.

    Nothing need be installed on the workers but Dask.

    Args:
        client: the ``distributed.Client`` of the cluster, which must not be asynchronous; or the
            address of its scheduler, such as ``"tls://scheduler:8786"``: then each array has a
            client of its own, as Dask's configuration says, which is closed when the slaves end.
        count: how many slaves.
        resources: what each needs of a worker's resources, such as ``{"GPU": 1}``; by default a
            thread of the worker, and no more.
        trusted_network: whether slaves may be started although Dask does not encrypt what it
            sends, and others might read each slave's credentials.
        threads: how many threads numeric libraries start in a slave's tasks: one by default, since
            a slave is one thread of a worker. The usual variables (``OMP_NUM_THREADS`` and the
            like) are set to this number, except for those that the user has set, on the worker's
            machine or else in the master's environment. None leaves all of them alone.
        environment: variables to add to the environment of the slaves. Never a secret, since
            messages show the description.

    Raises ValueError.
    """

    system = "Dask"
    kept_by = "Dask task"
    requirement = "distributed"
    explained_by = ("dask-task-failed",)
    privacy_advice = "Let Dask use TLS (Client(…, security=…), and the same for its cluster)."

    def __init__(
        self,
        client: Client | str,
        count: int,
        *,
        resources: Mapping[str, float] | None = None,
        trusted_network: bool = False,
        threads: int | None = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        needs = {"resources": dict(resources or {})}
        super().__init__(
            count, needs, trusted_network=trusted_network, threads=threads, environment=environment
        )
        self.client = client

    def __repr__(self) -> str:
        text = super().__repr__()
        if isinstance(self.client, str):
            return text.replace("(", f"({self.client!r}, ", 1)
        return text

    def launch_type(self) -> type[DaskLaunch]:
        """Import Dask."""
        from ._launch import DaskLaunch

        return DaskLaunch


@hookimpl
def imp_parallel_launch(slaves: Slave, bootstraps: Sequence[Bootstrap]) -> Launch | None:
    """Submit the tasks."""
    return slaves.launch(bootstraps) if isinstance(slaves, DaskSlaveArray) else None


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave class of this plugin."""
    return {"DaskSlaveArray": DaskSlaveArray}


@hookimpl
def imp_parallel_explanations() -> str:
    """Return what explains the errors of this plugin."""
    from pathlib import Path

    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")
