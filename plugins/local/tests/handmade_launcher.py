"""A launcher that starts its process itself, for slaves on this machine that run under ``nice``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence

from imp_parallel_core import (
    Bootstrap,
    Launch,
    LaunchPhase,
    LaunchState,
    Slave,
    SocketStream,
    Stream,
    hookimpl,
    open_output,
    read_tail,
    start_failure,
)


class NiceSlave(Slave):
    """A slave on this machine that leaves the processor to others.

    Args:
        niceness: 0 (as any other process) to 19 (when nobody else wants it).
    """

    def __init__(self, niceness: int = 10) -> None:
        self.niceness = niceness

    def __repr__(self) -> str:
        return f"NiceSlave({self.niceness})"


class NiceLaunch:
    """One slave: a child process whose standard input is one end of a socket pair."""

    def __init__(
        self, slave: NiceSlave, bootstrap: Bootstrap, accept: Callable[[int, Stream], None]
    ) -> None:
        self.command = ["nice", "-n", str(slave.niceness), *bootstrap.command("stdin")]
        self._bootstrap = bootstrap
        ours, theirs = socket.socketpair()
        try:
            with theirs, open_output(bootstrap.output_path) as output:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=theirs.fileno(),
                    stdout=output,
                    stderr=output,
                    env=bootstrap.local_environment(),
                    start_new_session=True,  # Ctrl-C is for the script alone
                )
        except OSError as problem:
            ours.close()
            raise start_failure(problem, self.command) from problem
        ours.settimeout(10)
        try:
            ours.sendall(bootstrap.document())
        except OSError:
            pass  # it has ended without reading: poll() and log_tail() tell how
        accept(bootstrap.index, SocketStream(ours))

    def poll(self) -> Mapping[int, LaunchState]:
        """Say whether the process runs."""
        code = self._process.poll()
        phase = LaunchPhase.RUNNING if code is None else LaunchPhase.ENDED
        return {self._bootstrap.index: LaunchState(phase, exit_code=code)}

    def cancel(self, grace_s: float) -> None:
        """Wait for it to leave, then end it."""
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log_tail(self, index: int) -> str:
        """Return the end of its output."""
        return read_tail(self._bootstrap.output_path)


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Callable[[int, Stream], None]
) -> Launch | None:
    """Launch slaves of the class above."""
    return NiceLaunch(slaves, bootstraps[0], accept) if isinstance(slaves, NiceSlave) else None


@hookimpl
def imp_parallel_slave_types() -> Mapping[str, type[Slave]]:
    """Name the class above."""
    return {"NiceSlave": NiceSlave}
