"""A launcher for tests: slaves that dial the master, here or in a network namespace."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from imp_parallel_core import (
    Bootstrap,
    Launch,
    LaunchPhase,
    LaunchState,
    Slave,
    hookimpl,
    read_tail,
)


class FileSlave(Slave):
    """A slave that finds its bootstrap document in a file.

    Args:
        prefix: the command that its command is given to.
    """

    transport = "tcp"

    def __init__(self, *prefix: str) -> None:
        self.prefix = prefix


class FileLaunch:
    """One such slave."""

    def __init__(self, slave: FileSlave, bootstrap: Bootstrap) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=Path.cwd())  # the test's, if this is killed
        file = Path(self._folder.name) / "bootstrap"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(bootstrap.document())
        self.command = [*slave.prefix, *bootstrap.command("file", str(file))]
        self._bootstrap = bootstrap
        assert bootstrap.output_path is not None
        with Path(bootstrap.output_path).open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env={**os.environ, **bootstrap.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def poll(self) -> Mapping[int, LaunchState]:
        code = self._process.poll()
        phase = LaunchPhase.RUNNING if code is None else LaunchPhase.ENDED
        return {self._bootstrap.index: LaunchState(phase, exit_code=code)}

    def cancel(self, grace_s: float) -> None:
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def log_tail(self, index: int) -> str:
        return read_tail(self._bootstrap.output_path)


@hookimpl
def imp_parallel_launch(slaves: Slave, bootstraps: Sequence[Bootstrap]) -> Launch | None:
    return FileLaunch(slaves, bootstraps[0]) if isinstance(slaves, FileSlave) else None
