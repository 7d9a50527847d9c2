"""SSH as OpenSSH's own client speaks it: one connection for each host, shared by all its channels.

A first ``ssh`` makes the connection and listens at a socket in a private folder; one more ``ssh``
for each channel hands its descriptors over to that and waits; or makes a connection of its own, if
sshd allows no more channels on the shared one (see its MaxSessions).
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
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
from ._openssh_words import Words, why_not_connected

_CHUNK_BYTES = 1 << 16
_ALIVE_S = 5  # how often a host that says nothing is asked whether it is there …
_ALIVE_COUNT = 3  # … and how often in vain
_POLL_S = 0.003
_LAST_WORDS_S = 1.0
_CONNECTION_BROKE = 255
_PREFIX = "imp_parallel-ssh-"
_PATH_BYTES = 45  # of what its folder is in: ssh adds some to the control socket's for a moment
_PLAIN_PATH = re.compile(r"[\w/.+-]+", re.ASCII)  # what an ssh option needs no quotes for
_QUICK_S = 5.0  # for what needs no network
# What the configuration may say for a person at a terminal; and since which version it may.
_NEUTRAL = {
    (0, 0): ["ClearAllForwardings=yes"],
    (7, 6): ["RemoteCommand=none"],
    (8, 7): ["StdinNull=no", "ForkAfterAuthentication=no", "SessionType=default"],
}


class OpenSSHConnection:
    """A connection that an ``ssh`` process holds; see :class:`Connection`.

    Args:
        target: the host, such as ``user@host:2222``.
        options: more words for each command line.
        timeout_s: how long to try.

    Raises LaunchError with what ssh said.
    """

    def __init__(self, target: str, timeout_s: float, options: Sequence[str] = ()) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise LaunchError(
                "there is no ssh in the PATH. Install OpenSSH's client, or leave it "
                'to paramiko: client="paramiko"'
            )
        self._target = target
        self._folder = _new_folder()
        self._socket = f"{self._folder}/s"
        self._begin = [program, "-T", "-x", "-a", *options]
        # whether an unknown host is believed is left to the configuration: by default ssh would
        # ask, and in this mode refuses
        for option in (
            "BatchMode=yes",
            *_neutral_options(program),
            f"ConnectTimeout={max(1, round(timeout_s))}",
            f"ServerAliveInterval={_ALIVE_S}",
            f"ServerAliveCountMax={_ALIVE_COUNT}",
            f"ControlPath={self._socket}",
            "ControlPersist=no",
        ):
            self._begin += ["-o", option]
        self._where = _words_for(target)
        self._callback: Callable[[str], None] = lambda how: None
        self._lock = threading.Lock()
        self._lost: str | None = None
        self._is_closed = False
        self._said = Words()
        self._channels: list[OpenSSHChannel] = []
        self.command = [*self._begin, *self._where]
        try:
            self._connect(timeout_s)
        except BaseException:
            self.close()
            raise
        self._watch = threading.Thread(
            target=self._wait_for_loss, name=f"imp_parallel ssh to {target}", daemon=True
        )
        self._watch.start()

    def _connect(self, timeout_s: float) -> None:
        # what it runs there ends, and the connection with it, when this process does in any way
        self._anchor = subprocess.Popen[bytes](
            [
                *self._begin,
                *("-o", "ControlMaster=yes"),
                *("-o", "LogLevel=DEBUG1"),  # or it does not tell the keys, the host's and ours
                *self._where,
                "exec /bin/sh -c 'read x'",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the script alone
        )
        deadline = time.monotonic() + timeout_s
        self._reader = _read_in_thread(self._anchor, self._said.hear)
        while not Path(self._socket).exists():
            if self._anchor.poll() is not None:
                self._reader.join(_LAST_WORDS_S)
                raise self._refused(self._anchor.returncode)
            if time.monotonic() > deadline:
                self._said.hear(f"\nno answer within {timeout_s:g} s\n".encode())
                raise self._refused(None)
            time.sleep(_POLL_S)

    def _refused(self, exit_code: int | None) -> LaunchError:
        self._said.end()
        by_hand = shlex.join(["ssh", *(word for word in self._where if word != "--")])
        return LaunchError(
            why_not_connected(self._target, self._said, self._settings(), by_hand),
            command=self.command,
            exit_code=exit_code,
            output="\n".join(self._said.lines),
        )

    def _settings(self) -> dict[str, str]:
        """Return what the configuration says of the host; nothing if it can't be read."""
        try:
            done = subprocess.run(
                [*self._begin, "-G", *self._where],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_QUICK_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return {}
        lines = (line.partition(" ") for line in done.stdout.decode(errors="replace").splitlines())
        return {name: value for name, _, value in lines}

    def start(self, command: str, take_errors: Callable[[bytes], None]) -> Channel:
        """Have the login shell run a command; see :class:`Connection`."""
        with self._lock:
            if self._lost is not None or self._is_closed:
                raise ConnectionError(self._lost or "the connection has been closed")
            ours, theirs = socket.socketpair()
            with theirs:
                process = subprocess.Popen[bytes](
                    [
                        *self._begin,
                        *("-o", "ControlMaster=no"),
                        *("-o", "LogLevel=ERROR"),  # what it says is taken for the slave's output
                        *self._where,
                        command,
                    ],
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
            anchor.wait()
            anchor.stdin.close()
        self._remove_folder()

    def _remove_folder(self) -> None:
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


@functools.cache
def _neutral_options(program: str) -> Sequence[str]:
    """Return the options for what must not be as the configuration may say it for a terminal."""
    try:
        done = subprocess.run(
            [program, "-V"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_QUICK_S,
            check=False,
        )
        found = re.search(r"OpenSSH_\D*(\d+)\.(\d+)", done.stderr + done.stdout)
    except (OSError, subprocess.SubprocessError):
        found = None
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return [option for since, some in _NEUTRAL.items() if since <= version for option in some]


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


def _words_for(target: str) -> list[str]:
    """Return how ssh wants to be told the host."""
    place, colon, port = target.rpartition(":")
    if colon and port.isdecimal() and (place.endswith("]") or ":" not in place):
        return ["-p", port, "--", place.replace("[", "").replace("]", "")]
    return ["--", target.replace("[", "").replace("]", "")]
