"""Starting a runner: what a slave does first of all, since it takes longest.

Imported before anything else of the slave's, so it needs hardly anything itself.
"""

from __future__ import annotations

import os
import signal
import socket
import sys


class StartedRunner:
    """A runner that has been started: its pid, and this end of what it is connected by.

    ``wire`` is a socket pair; ``go_ahead`` and ``values`` are ends of pipes, which take small
    things in less than half of a socket's time. ``taken_tokens`` is the runner's own end of the
    go-ahead, to take back from it what the runner has not read.
    """

    def __init__(self, code_path: str) -> None:
        self.wire, runner_wire = socket.socketpair()
        self.taken_tokens, self.go_ahead = os.pipe()
        self.values, runner_values = os.pipe()
        self.wire.setblocking(False)
        for end in (self.taken_tokens, self.go_ahead, self.values):
            os.set_blocking(end, False)
        ends = (runner_wire.fileno(), self.taken_tokens, runner_values)
        for end in ends:
            os.set_inheritable(end, True)
        self.pid = _spawn(code_path, *map(str, ends), str(os.getpid()))
        runner_wire.close()
        os.close(runner_values)
        os.set_inheritable(self.taken_tokens, False)


def _spawn(code_path: str, *arguments: str) -> int:
    # (no import finds what lies in the working directory, unless the tasks' own path says so)
    # garbage collection while modules are loaded finds nothing, and takes a tenth of the time
    program = (
        f"import gc, sys; gc.disable(); sys.path[:] = [{code_path!r}, *filter(None, sys.path)]; "
        "from imp_parallel_core._runner import main; main()"
    )
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program, *arguments],
        os.environ,
        # a batch job's script ignores them for the supervisor's sake; a task shall not inherit that
        setsigdef=(signal.SIGUSR1, signal.SIGUSR2),
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
    )
