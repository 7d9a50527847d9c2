"""A Ray cluster, as the tests of all systems that run functions see it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from imp_parallel_ray import RaySlaveArray

from tests.support.harness import parent_of
from tests.support.waiting import wait_until


def array_at(address: str) -> RaySlaveArray:
    """Return an array on the cluster at an address, also in a script of its own."""
    import ray

    if not ray.is_initialized():
        ray.init(address, log_to_driver=False)
    return RaySlaveArray(1)


def has_room() -> bool:
    """Whether Ray has both its CPUs free."""
    import ray

    return bool(ray.available_resources().get("CPU") == 2)


class RayHome:
    """A cluster of one node with two CPUs."""

    said_in_readme = '"auto"'
    folder = Path(__file__).parents[1]
    said_of_no_room = "0 of 2 CPU are free"
    said_of_end = "its Ray actor failed"
    requirement = "ray"
    modules: Sequence[str] = ("ray",)
    array_in_vain = "RaySlaveArray(1)"
    array_nowhere = "RaySlaveArray(1, num_cpus=1, address='127.0.0.1:1')"
    array_there = "RaySlaveArray(4)"

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self.address = repr(cluster)
        self.array_by_address = f"RaySlaveArray(1, num_cpus=1, address={cluster!r})"
        self.joins = (
            "import ray\n"
            "from imp_parallel_ray import RaySlaveArray\n"
            f"ray.init({cluster!r}, log_to_driver=False)"
        )

    def array(self, count: int = 1, **options: Any) -> RaySlaveArray:
        """Describe slaves."""
        return RaySlaveArray(count, **options)

    def maker(self) -> Callable[[], RaySlaveArray]:
        """Return what describes one slave, also in a script of its own."""
        return partial(array_at, self._cluster)

    def end(self, pid: int) -> None:
        """End an actor as Ray does."""
        os.kill(parent_of(pid), signal.SIGTERM)

    def wait_until_empty(self) -> None:
        """Wait until both CPUs are free."""
        wait_until(has_room)

    def queued(self) -> None:
        """Ray does not tell at once."""

    def said(self) -> str:
        """Return all logs of the cluster."""
        import ray

        session = Path(ray._private.worker._global_node.get_session_dir_path())
        logs = (path for path in (session / "logs").rglob("*") if path.is_file())
        return "".join(path.read_text(errors="replace") for path in logs)
