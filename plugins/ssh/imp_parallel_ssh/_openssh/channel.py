"""A command that runs on a host over OpenSSH's own client: an ``ssh`` process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable

from imp_parallel_core import SocketStream, Stream

_CHUNK_BYTES = 1 << 16
_LAST_WORDS_S = 1.0
_TOLD_S = 0.5  # for an ssh to end by itself
_KILLED_S = 1.0
_CONNECTION_BROKE = 255


class ResumableStream(SocketStream):
    """A socket that leads to another host: no descriptors can be passed."""

    resumable = True

    def give_up(self) -> None:
        """Close it; what was sent is still read. See :class:`ForwardedStream`."""
        self.close()


class OpenSSHChannel:
    """A command that runs on the host; see :class:`Channel`.

    Args:
        command: an ``ssh`` that runs it.
        take_errors: is given its standard error.
    """

    def __init__(self, command: list[str], take_errors: Callable[[bytes], None]) -> None:
        self._connected, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen[bytes](
                command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the script alone
            )
        self.stream: Stream = ResumableStream(self._connected)
        self._reader = read_errors(self._process, take_errors)

    def exit_status(self) -> int | None:
        """Return how it ended; None if it runs, or it can't be known."""
        code = self._process.poll()
        if code is None:
            return None
        self._reader.join(_LAST_WORDS_S)
        return None if code == _CONNECTION_BROKE or code < 0 else code

    def close(self) -> None:
        """End its standard input, and give it up."""
        self.end()
        self.stream.close()

    def end(self) -> None:
        """End its stream, whose descriptor somebody may be waiting for: it stays open."""
        with contextlib.suppress(OSError):
            self._connected.shutdown(socket.SHUT_RDWR)
        if self._process.poll() is None:
            kill(self._process)

    def wait(self) -> None:
        """Wait for the end of its process, which has been told to end."""
        wait_or_kill(self._process)


def read_errors(
    process: subprocess.Popen[bytes], take: Callable[[bytes], None]
) -> threading.Thread:
    """Take what a process writes to its standard error, in a thread, which is returned."""

    def read() -> None:
        errors = process.stderr
        if errors is not None:
            with errors:
                while data := os.read(errors.fileno(), _CHUNK_BYTES):
                    take(data)

    thread = threading.Thread(target=read, name="imp_parallel ssh output", daemon=True)
    thread.start()
    return thread


def kill(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """End a process and what it started; not if it was reaped: its number may be another's."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)


def wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was told to end.

    An ``ssh`` may be told so just before it waits for its host, and heeds that only when something
    comes from there, so it is killed after a while.
    """
    try:
        process.wait(_TOLD_S)
    except subprocess.TimeoutExpired:
        kill(process, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a file system hangs
            process.wait(_KILLED_S)
