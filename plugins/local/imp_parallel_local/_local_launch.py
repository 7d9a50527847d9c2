"""Starting a slave as a child process."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence

from imp_parallel_core import (
    Accept,
    Bootstrap,
    LaunchPhase,
    LaunchState,
    SocketStream,
    open_output,
    read_tail,
    start_failure,
)

_DOCUMENT_S = 10.0  # for the slave to begin to read; its socket's buffer takes most documents whole


class LocalLaunch:
    """One local slave: a process whose standard input is one end of a socket pair.

    Args:
        bootstrap: the slave's.
        accept: is given the master's end.

    Raises LaunchError if the process can't be started.
    """

    def __init__(self, bootstrap: Bootstrap, accept: Accept) -> None:
        self.command: Sequence[str] = bootstrap.command("stdin")
        self._bootstrap = bootstrap
        try:
            ours, self._process = self._start()
        except OSError as problem:
            raise start_failure(problem, self.command) from problem
        ours.settimeout(_DOCUMENT_S)
        try:
            ours.sendall(bootstrap.document())
        except OSError:
            pass  # it has ended already, which poll() will tell
        accept(bootstrap.index, SocketStream(ours))

    def _start(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        bootstrap = self._bootstrap
        ours, theirs = socket.socketpair()
        try:
            with theirs, open_output(bootstrap.output_path) as output:
                return ours, subprocess.Popen[bytes](
                    self.command,
                    stdin=theirs.fileno(),
                    stdout=output,
                    stderr=output,
                    cwd=bootstrap.cwd if os.path.isdir(bootstrap.cwd) else "/",
                    env=bootstrap.local_environment(),
                    start_new_session=True,  # Ctrl-C is for the script alone
                )
        except BaseException:
            ours.close()
            raise

    def poll(self) -> Mapping[int, LaunchState]:
        """Return whether the process runs, or how it ended."""
        code = _exit_code(self._process)
        phase = LaunchPhase.RUNNING if code is None else LaunchPhase.ENDED
        return {self._bootstrap.index: LaunchState(phase, exit_code=code)}

    def cancel(self, grace_s: float) -> None:
        """Wait for the process to leave; kill it and all that it started, if it does not."""
        _wait(self._process, grace_s)
        if self._process.returncode is None:  # otherwise its number may be another group's by now
            try:  # its shell may have left processes behind, also if it ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        self._process.wait()

    def log_tail(self, index: int) -> str:
        """Return the end of the output file."""
        return read_tail(self._bootstrap.output_path)


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Return how a process ended, or None; leave it a zombie, so that its number stays its own."""
    if process.returncode is not None or not hasattr(os, "waitid"):  # (an older macOS)
        return process.poll()
    try:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return process.poll()  # the script has waited for all its children, or ignores SIGCHLD
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _wait(process: subprocess.Popen[bytes], limit_s: float) -> None:
    """Wait for a process to end, but not for longer than a limit; it is not reaped."""
    if _exit_code(process) is not None:
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or an old one
        try:
            process.wait(limit_s)  # looks every now and then, which delays the end of every script
        except subprocess.TimeoutExpired:
            pass
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(limit_s * 1000)
    os.close(descriptor)
