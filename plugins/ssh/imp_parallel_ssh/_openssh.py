"""SSH as OpenSSH's own client speaks it: one connection for each host, shared by all its channels.

A first ``ssh`` makes the connection and listens at a socket in a private folder; one more ``ssh``
for each channel hands its descriptors over to that and waits; or makes a connection of its own, if
sshd allows no more channels on the shared one (see its MaxSessions). If the user has a connection
to the host open (ControlMaster), whose making may have asked for a second factor, that is used.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from imp_parallel_core import LaunchError, SocketStream, Stream
from imp_parallel_core.private_folders import make_private_folder, remove_private_folder

from ._connection import Channel
from ._crowd import Dropped, gate
from ._openssh_program import SshProgram
from ._openssh_words import Words, was_dropped, why_not_connected

_CHUNK_BYTES = 1 << 16
_POLL_S = 0.003
_LAST_WORDS_S = 1.0
_CONNECTION_BROKE = 255
_PREFIX = "imp_parallel-ssh-"
_PATH_BYTES = 45  # of what its folder is in: ssh adds some to the control socket's for a moment
_PLAIN_PATH = re.compile(r"[\w/.+-]+", re.ASCII)  # what an ssh option needs no quotes for


class OpenSSHConnection:
    """A connection that an ``ssh`` process holds; see :class:`Connection`.

    Args:
        target: the host, such as ``user@host:2222``.
        options: more words for each command line.
        timeout_s: how long to try.

    Raises LaunchError with what ssh said.
    """

    def __init__(self, target: str, timeout_s: float, options: Sequence[str] = ()) -> None:
        self._target = target
        self._ssh = SshProgram(target, timeout_s, options)
        self._folder = ""
        self._callback: Callable[[str], None] = lambda how: None
        self._lock = threading.Lock()
        self._lost: str | None = None
        self._is_closed = False
        self._said = Words()
        self._channels: list[OpenSSHChannel] = []
        try:
            self._socket = "" if self._ssh.users_connection_is_open() else self._new_socket()
            with gate(self._ssh.way):
                self._connect(timeout_s)
        except BaseException:
            self.close()
            raise
        self._watch = threading.Thread(
            target=self._wait_for_loss, name=f"imp_parallel ssh to {target}", daemon=True
        )
        self._watch.start()

    def _connect(self, timeout_s: float) -> None:
        self.command = self._ssh.command()
        # what it runs there ends, and the connection with it, when this process does in any way
        self._anchor = subprocess.Popen[bytes](
            self._ssh.command(
                f"ControlMaster={'yes' if self._socket else 'no'}",
                "LogLevel=DEBUG1",  # or it does not tell the keys, the host's and ours
                remote=["exec /bin/sh -c 'echo; read x'"],
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the script alone
        )
        deadline = time.monotonic() + timeout_s
        self._reader = _read_in_thread(self._anchor, self._said.hear)
        while not self._is_connected():
            if self._anchor.poll() is not None:
                self._reader.join(_LAST_WORDS_S)
                raise self._refused(self._anchor.returncode)
            if time.monotonic() > deadline:
                self._said.hear(f"\nno answer within {timeout_s:g} s\n".encode())
                raise self._refused(None)
            time.sleep(_POLL_S)

    def _is_connected(self) -> bool:
        if self._socket:
            return Path(self._socket).exists()
        output = self._anchor.stdout  # says something as soon as its command runs there
        return output is not None and bool(select.select([output], [], [], 0)[0])

    def _refused(self, exit_code: int | None) -> LaunchError:
        self._said.end()
        by_hand = shlex.join(self._ssh.by_hand)
        lines = self._said.lines
        kind = Dropped if was_dropped(lines) else LaunchError
        error = kind(
            why_not_connected(self._target, self._said, self._ssh.settings, by_hand),
            command=self.command,
            exit_code=exit_code,
            output="\n".join(lines),
        )
        if isinstance(error, Dropped):
            error.is_sshd = self._said.has_spoken_ssh()
        return error

    def _new_socket(self) -> str:
        """Have ssh listen at a new socket, for our channels alone; return its path."""
        self._folder = _new_folder()
        path = f"{self._folder}/s"
        self._ssh.add_options(f"ControlPath={path}", "ControlPersist=no")
        return path

    # ---- commands on it

    def start(self, command: str, take_errors: Callable[[bytes], None]) -> Channel:
        """Have the login shell run a command; see :class:`Connection`."""
        with self._lock:
            if self._lost is not None or self._is_closed:
                raise ConnectionError(self._lost or "the connection has been closed")
            ours, theirs = socket.socketpair()
            with theirs:
                process = subprocess.Popen[bytes](
                    self._ssh.command(
                        "ControlMaster=no",
                        "LogLevel=ERROR",  # what it says is taken for the slave's output
                        remote=[command],
                    ),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                )
            channel = OpenSSHChannel(ours, process, take_errors)
            self._channels = [known for known in self._channels if known.exit_status() is None]
            self._channels.append(channel)
            return channel

    def on_loss(self, callback: Callable[[str], None]) -> None:
        """Take a function to call with how the connection was lost; see :class:`Connection`."""
        with self._lock:
            self._callback = callback
            lost = self._lost
        if lost is not None:
            callback(lost)

    def _wait_for_loss(self) -> None:
        _await_end(self._anchor)
        self._reader.join(_LAST_WORDS_S)
        with self._lock:
            self._anchor.wait()
            self._said.end()
            self._lost = self._said.last() or "ssh ended"
            callback = None if self._is_closed else self._callback
        self._remove_folder()
        if callback is not None:
            callback(self._lost)

    def close(self) -> None:
        """Close it with all its channels; see :class:`Connection`."""
        with self._lock:
            self._is_closed = True
            channels, self._channels = self._channels, []
        for channel in channels:
            channel.end()
        anchor = getattr(self, "_anchor", None)
        if anchor is not None:
            with self._lock:
                _kill(anchor)
        for channel in channels:  # only now, so that they end at the same time
            channel.wait()
        if anchor is not None:
            anchor.wait()
            anchor.stdin.close()
            anchor.stdout.close()
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder:
            with contextlib.suppress(OSError):
                remove_private_folder(self._folder, _PREFIX)


class OpenSSHChannel:
    """A command that runs on the host; see :class:`Channel`."""

    def __init__(
        self,
        connected: socket.socket,
        process: subprocess.Popen[bytes],
        take_errors: Callable[[bytes], None],
    ) -> None:
        self.stream: Stream = _ResumableStream(connected)
        self._connected = connected
        self._process = process
        self._reader = _read_in_thread(process, take_errors)

    def exit_status(self) -> int | None:
        """Return how it ended; None if it runs, or it can't be known."""
        code = self._process.poll()
        if code is None or code == _CONNECTION_BROKE or code < 0:
            return None
        self._reader.join(_LAST_WORDS_S)
        return code

    def close(self) -> None:
        """End its standard input, and give it up."""
        self.end()
        self.stream.close()

    def end(self) -> None:
        """End its stream, whose descriptor somebody may be waiting for: it stays open."""
        with contextlib.suppress(OSError):
            self._connected.shutdown(socket.SHUT_RDWR)
        if self._process.poll() is None:
            _kill(self._process)

    def wait(self) -> None:
        """Wait for the end of its process, which has been told to end."""
        self._process.wait()


class _ResumableStream(SocketStream):
    resumable = True


def _read_in_thread(
    process: subprocess.Popen[bytes], take: Callable[[bytes], None]
) -> threading.Thread:
    def read() -> None:
        errors = process.stderr
        if errors is not None:
            with errors:
                while data := os.read(errors.fileno(), _CHUNK_BYTES):
                    take(data)

    thread = threading.Thread(target=read, name="imp_parallel ssh output", daemon=True)
    thread.start()
    return thread


def _new_folder() -> str:
    """Return a new folder for a control socket, whose path must be short and plain."""
    parent = tempfile.gettempdir()
    if _PLAIN_PATH.fullmatch(parent) and len(parent) <= _PATH_BYTES:
        with contextlib.suppress(OSError):
            return make_private_folder(parent, _PREFIX)
    return make_private_folder("/tmp", _PREFIX)  # noqa: S108 - it has mode 0700


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process to end; where that is possible, leave it to be reaped."""
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started; not if it was reaped: its number may be another's."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGTERM)
