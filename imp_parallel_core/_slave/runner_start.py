"""Starting a runner: what a slave does first of all, since it takes longest.

The first runner is a fork of the slave's process, made before that holds anything that a task must
not have: so what both import is imported once, which takes as long as all the rest of a start. By
the time that another is needed, the process holds the stream to the master, so that one is a new
process.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from .._light_typing import NamedTuple
from .._wire import (
    heads,  # noqa: F401  the runner needs it, and it is loaded before the fork
    session,  # noqa: F401  likewise
)
from . import process  # noqa: F401  likewise


class Surroundings(NamedTuple):
    """What tasks find around them."""

    folder: str
    """Where they work."""
    sys_path: list[str]
    """Where they import from."""
    argv: list[str]
    """The arguments of the script that they belong to."""


class StartedRunner:
    """A runner that has been started: its pid, and this end of what it is connected by.

    ``wire`` is a socket pair; ``go_ahead`` and ``values`` are ends of pipes, which take small
    things in less than half of a socket's time. ``taken_tokens`` is the runner's own end of the
    go-ahead, to take back from it what the runner has not read.
    """

    pid: int

    def __init__(self) -> None:
        self.wire, self._runners_wire = socket.socketpair()
        self.taken_tokens, self.go_ahead = os.pipe()
        self.values, self._runners_values = os.pipe()
        self.wire.setblocking(False)
        for end in (self.taken_tokens, self.go_ahead, self.values):
            os.set_blocking(end, False)

    @classmethod
    def first(
        cls, connected: socket.socket | None, code_path: str, *, is_warned: bool
    ) -> StartedRunner:
        """Start the first runner: a fork, in which this ends the process instead of returning.

        Args:
            connected: what the slave's process holds besides its standard streams, if anything.
            code_path: where this package is.
            is_warned: whether it shall pass over a batch system's warnings.
        """
        if not _is_alone():
            return cls.spawned(code_path, is_warned=is_warned)
        started = cls()
        supervisor = os.getpid()
        started.pid = os.fork()
        if not started.pid:
            ends = started._become_the_runners(is_warned=is_warned)
            if connected is not None:
                os.close(connected.detach())
            from .runner import work

            work(*ends, supervisor)
            sys.exit()  # as a program ends, with what tasks registered to be called then
        started._leave_the_runners()
        return started

    @classmethod
    def spawned(cls, code_path: str, *, is_warned: bool) -> StartedRunner:
        """Start a runner as a new process; the arguments are as for :meth:`first`."""
        started = cls()
        ends = started._runners_ends()
        for end in ends:
            os.set_inheritable(end, True)
        started.pid = _spawn(code_path, *map(str, ends), str(os.getpid()), str(int(is_warned)))
        os.set_inheritable(started.taken_tokens, False)
        started._leave_the_runners()
        return started

    def _runners_ends(self) -> tuple[int, int, int]:
        return self._runners_wire.fileno(), self.taken_tokens, self._runners_values

    def _leave_the_runners(self) -> None:
        self._runners_wire.close()
        os.close(self._runners_values)

    def _become_the_runners(self, *, is_warned: bool) -> tuple[int, int, int]:
        """In the fork, be as a new process would be; return its ends."""
        for end in (self.wire.detach(), self.go_ahead, self.values):
            os.close(end)
        if is_warned:
            pass_over_warnings()
        for number in _NOT_FOR_TASKS:
            if is_warned and number in _WARNINGS:
                continue
            is_interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        return self._runners_wire.detach(), self.taken_tokens, self._runners_values


# What the supervisor handles, or whoever started the slave ignores (a batch job's script, nohup, a
# shell that runs something in the background): for tasks it is as usual.
_NOT_FOR_TASKS = (
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)

# What a batch system sends to all processes of a job before it ends or stops them.
_WARNINGS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


def pass_over_warnings() -> None:
    """In a runner, let a batch system's warnings end no task; its supervisor heeds them.

    They are handled, not ignored: so programs that a task starts find them as usual.
    """
    for number in _WARNINGS:
        signal.signal(number, _pass_over)
        signal.siginterrupt(number, False)  # what C code waits for goes on
    os.register_at_fork(after_in_child=_heed_again)


def _pass_over(number: int, frame: object) -> None:
    """Do nothing; see :func:`pass_over_warnings`."""


def _heed_again() -> None:
    """In a fork, such as a pool's process, which is ended by SIGTERM."""
    for number in _WARNINGS:
        if signal.getsignal(number) is _pass_over:  # else the task has another use for it
            signal.signal(number, signal.SIG_DFL)


def _is_alone() -> bool:
    """Whether this process has one thread only: of others, a fork keeps the locks that they held.

    A site's own customization of Python may have started some.
    """
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:  # not Linux
        threading = sys.modules.get("threading")
        return threading is None or threading.active_count() == 1


def _spawn(code_path: str, *arguments: str) -> int:
    # (no import finds what lies in the working directory, unless the tasks' own path says so)
    # garbage collection while modules are loaded finds nothing, and takes a tenth of the time
    program = (
        f"import gc, sys; gc.disable(); sys.path[:] = [{code_path!r}, *filter(None, sys.path)]; "
        "from imp_parallel_core._slave.runner import main; main()"
    )
    options = sys.orig_argv[1 : sys.orig_argv.index("-c")]  # as this process has them
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *options, "-c", program, *arguments],
        os.environ,
        setsigdef=_NOT_FOR_TASKS,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
    )
