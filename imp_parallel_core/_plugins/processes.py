"""Slaves that are processes of this machine, one for each: the whole of most launchers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from .._errors import PluginError
from .._wire.stream import SocketStream
from .contract import checked_words
from .exit_code import exit_code
from .launch import LaunchPhase, LaunchState, read_tail
from .output_files import open_output
from .start_failure import start_failure

if TYPE_CHECKING:
    from .._wire.stream import Accept
    from .bootstrap import Bootstrap
    from .launch import Launch

_DOCUMENT_S = 10.0  # for the slave to begin to read; its socket's buffer takes most documents whole
_KILLED_S = 2.0  # a process that was killed may be held up in a file system that hangs

Wrap = Callable[[list[str], "Bootstrap"], Sequence[str]]


def _as_it_is(argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
    return argv


def start_processes(
    bootstraps: Sequence[Bootstrap],
    accept: Accept,
    wrap: Wrap = _as_it_is,
    *,
    document: Literal["stdin", "file"] = "stdin",
    terminate_s: float = 0.0,
) -> Launch:
    """Start a process of this machine for each slave; return the launch of these processes.

    Called by a launcher's ``imp_parallel_launch``, which may return the result. Each process has
    the working directory and the environment that its bootstrap describes, writes to the slave's
    output file, and leads a process group of its own, so that a Ctrl-C is for the script alone. Its
    standard input is a socket that brings the bootstrap document and is the slave's stream
    afterwards: ``wrap`` may put any command that passes standard input on before the slave's.

    Args:
        bootstraps: one for each slave, as the hook gets them.
        accept: takes each slave's stream, as the hook gets it.
        wrap: is called with the command line that starts a slave, and with the slave's bootstrap;
            returns the command line to run, such as ``["nice", *argv]``. By default it is run as it
            is.
        document: ``"file"`` if a slave shall read its document from a file, and reach the master
            through a transport. Then ``wrap`` gets the command line without arguments, and appends
            ``"file"`` and the path; standard input is the null device, and ``accept`` is not
            called.
        terminate_s: processes that are still there when the launch has been cancelled, and its
            grace is over, are killed. If this is more than 0, they get a SIGTERM so many seconds
            before, which wrappers need that have to end something elsewhere.

    Raises LaunchError if a process can't be started, PluginError if ``wrap`` returns no command
    line; then those that were started are ended.
    """
    return ProcessLaunch(bootstraps, accept, wrap, document == "stdin", terminate_s)


class ProcessLaunch:
    """A Launch, and an EndingLaunch, of one process for each slave; see :func:`start_processes`."""

    def __init__(
        self,
        bootstraps: Sequence[Bootstrap],
        accept: Accept,
        wrap: Wrap,
        has_document: bool,
        terminate_s: float,
    ) -> None:
        self.command: dict[int, Sequence[str]] = {}
        self._wrap = wrap
        self._bootstraps = {bootstrap.index: bootstrap for bootstrap in bootstraps}
        self._terminate_s = terminate_s
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        sockets: dict[int, socket.socket] = {}
        try:
            for index, bootstrap in self._bootstraps.items():
                if has_document:
                    sockets[index] = self._start_with_socket(bootstrap)
                else:
                    self._start(bootstrap, bootstrap.command(), subprocess.DEVNULL)
        except BaseException:
            for ours in sockets.values():
                ours.close()
            self.cancel(0.0)
            raise
        for index, ours in sockets.items():
            _send(ours, self._bootstraps[index].document())
            accept(index, SocketStream(ours))

    def _start_with_socket(self, bootstrap: Bootstrap) -> socket.socket:
        argv = bootstrap.command("stdin")
        try:
            ours, theirs = socket.socketpair()
        except OSError as problem:
            raise start_failure(problem, argv) from problem
        try:
            with theirs:
                self._start(bootstrap, argv, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        return ours

    def _start(self, bootstrap: Bootstrap, argv: list[str], standard_input: int) -> None:
        command = self.command[bootstrap.index] = self._wrapped(argv, bootstrap)
        try:
            with open_output(bootstrap.output_path) as output:
                self._processes[bootstrap.index] = subprocess.Popen[bytes](
                    command,
                    stdin=standard_input,
                    stdout=output,
                    stderr=output,
                    cwd=bootstrap.cwd if os.path.isdir(bootstrap.cwd) else "/",
                    env=bootstrap.local_environment(),
                    start_new_session=True,  # Ctrl-C is for the script alone
                )
        except OSError as problem:
            if command[0] == argv[0]:
                raise start_failure(problem, command) from problem
            raise start_failure(problem, command, "It must be in the PATH.") from problem

    def _wrapped(self, argv: list[str], bootstrap: Bootstrap) -> list[str]:
        answer = self._wrap(argv, bootstrap)
        try:
            return checked_words(answer)
        except TypeError as problem:
            raise PluginError(f"the answer of wrap can't be run: {problem}") from problem

    def poll(self) -> Mapping[int, LaunchState]:
        """Return which processes run, and how the others ended."""
        return {index: _state_of(process) for index, process in self._processes.items()}

    def end_slave(self, index: int) -> None:
        """Kill one process, and all that it started."""
        _signal_group(self._processes[index], signal.SIGKILL)

    def cancel(self, grace_s: float) -> None:
        """Wait for the processes to leave; kill those that don't, and all that they started."""
        processes = self._processes.values()
        _wait_for(processes, grace_s)
        if self._terminate_s:
            for process in processes:
                if exit_code(process) is None:
                    _signal_group(process, signal.SIGTERM)
            _wait_for(processes, self._terminate_s)
        for process in processes:  # one that has ended may have left others in its group
            _signal_group(process, signal.SIGKILL)
        _wait_for(processes, _KILLED_S)
        for process in processes:
            process.poll()  # no signal will be sent to its number any more

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output file."""
        return read_tail(self._bootstraps[index].output_path)


def _send(ours: socket.socket, document: bytes) -> None:
    ours.settimeout(_DOCUMENT_S)
    try:
        ours.sendall(document)
    except OSError:
        pass  # the process has ended already: poll() and log_tail() tell how


def _state_of(process: subprocess.Popen[bytes]) -> LaunchState:
    code = exit_code(process)
    phase = LaunchPhase.RUNNING if code is None else LaunchPhase.ENDED
    return LaunchState(phase, exit_code=code)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    if process.returncode is None:  # otherwise its number may be another group's by now
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def _wait_for(processes: Collection[subprocess.Popen[bytes]], limit_s: float) -> None:
    """Wait for processes to end, but not for longer than a limit; none is reaped."""
    deadline = time.monotonic() + limit_s
    for process in processes:
        _wait(process, max(0.0, deadline - time.monotonic()))


def _wait(process: subprocess.Popen[bytes], limit_s: float) -> None:
    if exit_code(process) is not None:
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        try:
            process.wait(limit_s)  # looks every now and then, which delays the end of every script
        except subprocess.TimeoutExpired:
            pass
        return
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(limit_s * 1000)
    os.close(descriptor)
