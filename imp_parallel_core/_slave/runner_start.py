"""Start a runner. A slave does this first, since nothing else takes as long.

The first runner is a fork of the slave's process, made before the process holds anything that a
task must not have. So the modules that both need are imported once, which takes as long as all the
rest of a start. Later the process holds the stream to the master, so later runners are new
processes.
"""

from __future__ import annotations

import os
import socket
import sys

from .._light_typing import Any
from .._wire import (
    heads,  # noqa: F401  supervisor and runner need it, so it is loaded before the fork
    session,  # noqa: F401  likewise
    value_records,  # noqa: F401  likewise
)
from . import (
    item_output,  # noqa: F401  likewise
    process,  # noqa: F401  likewise
    task_signals,
)
from .outlet import PIPE, UNKNOWN, Register, memory_to_share


class StartedRunner:
    """A runner that has been started: its pid, and the supervisor's ends (see :mod:`.runner`).

    ``wire`` is one end of a socket pair. ``go_ahead`` and ``values`` are ends of pipes, which pass
    small things in less than half of a socket's time. ``taken_tokens`` is a copy of the runner's
    end of the go-ahead: the supervisor reads tokens there to take items back. ``outlet`` is the
    kind of :mod:`.outlet`; if that is a pipe, the supervisor's end is ``output``. ``register`` is
    the memory that both share.

    Args:
        code_path: the folder that this package is in.
        outlet: the kind.
        is_warned: whether a batch system's warnings reach the runner, which passes over them.
        memory: the descriptor of memory for the register, if the runner is a new program.
    """

    pid: int

    def __init__(
        self,
        code_path: str = "",
        outlet: int = UNKNOWN,
        *,
        is_warned: bool = False,
        memory: int = -1,
    ) -> None:
        self._code_path = code_path
        self._is_warned = is_warned
        self.outlet = outlet
        self.register = Register(memory)
        self.output, self._runners_output = os.pipe() if outlet == PIPE else (-1, -1)
        self.wire, self._runners_wire = socket.socketpair()
        self.taken_tokens, self.go_ahead = os.pipe()
        self.values, self._runners_values = os.pipe()
        self.wire.setblocking(False)
        for end in (self.taken_tokens, self.go_ahead, self.values):
            os.set_blocking(end, False)

    @classmethod
    def first(
        cls, connected: socket.socket | None, code_path: str, outlet: int, *, is_warned: bool
    ) -> StartedRunner:
        """Start the first runner, a fork. In the fork, this method never returns.

        Args:
            connected: the socket that the slave's process holds, if there is one; the fork closes
                it.
            code_path, outlet, is_warned: those of the class.
        """
        if not _is_alone():
            return cls._spawned(code_path, outlet, is_warned=is_warned)
        started = cls(code_path, outlet, is_warned=is_warned)
        supervisor = os.getpid()
        started.pid = os.fork()
        if not started.pid:
            ends = started._become_the_runners()
            if connected is not None:
                os.close(connected.detach())
            from .runner import work

            work(*ends, supervisor, outlet, started.register)
            sys.exit()  # not os._exit: tasks may have registered functions with atexit
        started._leave_the_runners()
        return started

    def next(self) -> StartedRunner:
        """Start the runner that takes the place of this one, as a new process."""
        return self._spawned(self._code_path, self.outlet, is_warned=self._is_warned)

    @classmethod
    def _spawned(cls, code_path: str, outlet: int, *, is_warned: bool) -> StartedRunner:
        memory = memory_to_share()
        started = cls(code_path, outlet, is_warned=is_warned, memory=memory)
        ends = started._runners_ends()
        for end in (*ends, memory):
            os.set_inheritable(end, True)
        arguments = *ends, os.getpid(), outlet, memory, int(is_warned)
        started.pid = _spawn(code_path, started._runners_output, *map(str, arguments))
        os.close(memory)
        os.set_inheritable(started.taken_tokens, False)
        started._leave_the_runners()
        return started

    def _runners_ends(self) -> tuple[int, int, int]:
        return self._runners_wire.fileno(), self.taken_tokens, self._runners_values

    def _leave_the_runners(self) -> None:
        self._runners_wire.close()
        os.close(self._runners_values)
        if self._runners_output >= 0:
            os.close(self._runners_output)

    def _become_the_runners(self) -> tuple[int, int, int]:
        """Make the fork be as a new process would be; return the descriptors of its ends."""
        for end in (self.wire.detach(), self.go_ahead, self.values):
            os.close(end)
        task_signals.reset(is_warned=self._is_warned)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        if self._runners_output >= 0:
            for number in (1, 2):
                os.dup2(self._runners_output, number)
            os.close(self.output)
            os.close(self._runners_output)
        return self._runners_wire.detach(), self.taken_tokens, self._runners_values


def _is_alone() -> bool:
    """Whether this process has a single thread. A fork would keep the locks of other threads.

    The site's customization of Python may have started threads.
    """
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:  # not Linux
        threading = sys.modules.get("threading")
        return threading is None or threading.active_count() == 1


def _spawn(code_path: str, output: int, *arguments: str) -> int:
    # filter(None, …) removes the working directory from the path of this program's own imports.
    # Garbage collection finds nothing while modules are loaded, and takes a tenth of the time.
    program = (
        f"import gc, sys; gc.disable(); sys.path[:] = [{code_path!r}, *filter(None, sys.path)]; "
        "from imp_parallel_core._slave.runner import main; main()"
    )
    actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    if output >= 0:
        actions += [(os.POSIX_SPAWN_DUP2, output, number) for number in (1, 2)]
    options = sys.orig_argv[1 : sys.orig_argv.index("-c")]  # those of this process's Python
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *options, "-c", program, *arguments],
        os.environ,
        setsigdef=task_signals.NOT_FOR_TASKS,
        file_actions=actions,
    )
