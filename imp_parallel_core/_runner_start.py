"""Starting a runner: what a slave does first of all, since it takes longest.

Imported before anything else of the slave's, so it needs hardly anything itself.
"""

from __future__ import annotations

import os
import signal
import socket
import sys


class StartedRunner:
    """A runner that has been started: its pid, and this end of both of its connections.

    ``taken_tokens`` is a duplicate of the runner's own end of the go-ahead, to take back from it
    what the runner has not read.
    """

    def __init__(self, code_path: str) -> None:
        self.wire, runner_wire = socket.socketpair()
        self.go_ahead, self.taken_tokens = socket.socketpair()
        self.wire.setblocking(False)
        self.go_ahead.setblocking(False)
        ends = (runner_wire, self.taken_tokens)
        for end in ends:
            end.set_inheritable(True)
        self.pid = _spawn(code_path, *(str(end.fileno()) for end in ends), str(os.getpid()))
        runner_wire.close()
        self.taken_tokens.set_inheritable(False)


def _spawn(code_path: str, *arguments: str) -> int:
    # garbage collection while modules are loaded finds nothing, and takes a tenth of the time
    program = (
        f"import gc, sys; gc.disable(); sys.path.insert(0, {code_path!r}); "
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
