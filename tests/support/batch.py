"""A simple batch system's plugin: it runs commands on a host, and knows nothing of gateways."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from imp_parallel_core import (
    Bootstrap,
    CommandHost,
    Launch,
    LaunchPhase,
    LaunchState,
    Slave,
    SlaveArray,
    hookimpl,
)


class BatchArray(SlaveArray):
    """Slaves that a simple batch system starts, by a command on a host."""

    transport = "tcp"

    def __init__(self, count: int, via: CommandHost) -> None:
        super().__init__(count)
        self.via: CommandHost = via


class BatchLaunch:
    """All that such a plugin does; nothing in it depends on where the host is."""

    def __init__(self, slaves: BatchArray, bootstraps: Sequence[Bootstrap]) -> None:
        host = self._host = slaves.via
        self._bootstraps = {each.index: each for each in bootstraps}
        self._folder = host.make_private_folder(bootstraps[0].cwd, ".batch-")
        host.write_files(self._folder, {str(b.index): b.document() for b in bootstraps})
        for each in bootstraps:
            self.command = each.command("file", f"{self._folder}/{each.index}")
            output = shlex.quote(each.output_path or "/dev/null")
            line = f"{shlex.join(self.command)} >>{output} 2>&1 & echo $!"
            host.run(["setsid", "sh", "-c", line], cwd=each.cwd, timeout_s=20.0)

    def poll(self) -> Mapping[int, LaunchState]:
        return dict.fromkeys(self._bootstraps, LaunchState(LaunchPhase.RUNNING))

    def cancel(self, grace_s: float) -> None:
        self._host.remove_folder(self._folder)

    def log_tail(self, index: int) -> str:
        path = self._bootstraps[index].output_path
        return self._host.read_file(path, limit_bytes=1000).decode() if path else ""


class Batch:
    """The plugin."""

    @hookimpl
    def imp_parallel_launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap]) -> Launch | None:
        return BatchLaunch(slaves, bootstraps) if isinstance(slaves, BatchArray) else None
