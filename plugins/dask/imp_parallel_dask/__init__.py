"""Slaves on the workers of a Dask cluster, wherever that runs.

Dask itself is imported when slaves are added: every script loads this package where it is
installed, also one that has no use for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imp_parallel_core import Bootstrap, Launch, LaunchError, Slave, SlaveArray, hookimpl

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DaskSlaveArray"]


class DaskSlaveArray(SlaveArray):
    """Slaves on the workers of a Dask cluster. Each is a task of Dask's, for as long as it lives.

    Nothing need be installed on the workers but Dask.

    Args:
        client: the ``distributed.Client`` of the cluster; it must not be asynchronous.
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

    transport = "tcp"

    def __init__(
        self,
        client: Client,
        count: int,
        *,
        resources: Mapping[str, float] | None = None,
        trusted_network: bool = False,
        threads: int | str | None = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(count)
        self.threads = threads
        self.environment = dict(environment or {})
        self.client = client
        self.resources = dict(resources or {})
        self.trusted_network = trusted_network

    def check(self) -> None:
        """Raise LaunchError if it is known at once that they can't be launched."""
        try:
            from ._launch import check_client
        except ImportError as problem:
            text = f"Dask can't be imported: {problem}. pip install distributed"
            raise LaunchError(text) from problem
        check_client(self.client, trusted_network=self.trusted_network)

    def __repr__(self) -> str:
        resources = f", resources={self.resources}" if self.resources else ""
        return f"DaskSlaveArray({len(self)}{resources})"


@hookimpl
def imp_parallel_launch(slaves: Slave, bootstraps: Sequence[Bootstrap]) -> Launch | None:
    """Submit the tasks."""
    if not isinstance(slaves, DaskSlaveArray):
        return None
    from ._launch import DaskLaunch

    return DaskLaunch(slaves, bootstraps)


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type]:
    """Name the slave class of this plugin."""
    return {"DaskSlaveArray": DaskSlaveArray}
