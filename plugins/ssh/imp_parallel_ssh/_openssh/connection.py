"""SSH as OpenSSH's own client speaks it: one connection for each host, shared by all its channels.

A first ``ssh`` makes the connection and listens at a socket in a private folder; one more ``ssh``
for each channel hands its descriptors over to that and waits; or makes a connection of its own, if
sshd allows no more channels on the shared one (see its MaxSessions). If the user has a connection
to the host open (ControlMaster), whose making may have asked for a second factor, that is used.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import select
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from imp_parallel_core import LaunchError, printable_lines
from imp_parallel_core.private_folders import make_private_folder, remove_private_folder

from .._connection import Channel, ForwardedStream
from .._diagnosis import SshOutput, no_commands, was_dropped, why_not_connected
from .._throttling import Dropped, connecting_slot
from .channel import OpenSSHChannel, kill, read_errors, wait_or_kill
from .forward import OpenSSHForward
from .program import SshProgram

_POLL_S = 0.003
_LAST_WORDS_S = 1.0
_REMOVED_S = 1.0
_PREFIX = "imp_parallel-ssh-"
_RUNS = "imp_parallel_runs"  # what the command says that holds the connection
_SHELL_BYTES = 1 << 16
_CONNECTION_BROKE = 255
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
        self._removing = threading.Lock()
        self._callback: Callable[[str], None] = lambda how: None
        self._lock = threading.Lock()
        self._lost: str | None = None
        self._refusal: LaunchError | None = None
        self._is_closed = False
        self._said = SshOutput()
        self._channels: list[OpenSSHChannel] = []
        self._forwards: dict[int, OpenSSHForward] = {}
        self._numbers = itertools.count()
        try:
            self._socket = "" if self._ssh.users_connection_is_open() else self._new_socket()
            with connecting_slot(self._ssh.way):
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
                remote=[f"exec /bin/sh -c 'echo {_RUNS}; read x'"],
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the script alone
        )
        deadline = time.monotonic() + timeout_s
        self._reader = read_errors(self._anchor, self._said.hear)
        while not self._is_connected():
            if self._anchor.poll() is not None:
                self._reader.join(_LAST_WORDS_S)
                # (a login shell may end before the socket is there)
                raise self._no_commands() or self._refused(self._anchor.returncode)
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
            self._check()
            channel = OpenSSHChannel(
                self._ssh.command(
                    "ControlMaster=no",
                    "LogLevel=ERROR",  # what it says is taken for the slave's output
                    remote=[command],
                ),
                take_errors,
            )
            self._channels = [known for known in self._channels if known.exit_status() is None]
            self._channels.append(channel)
            return channel

    def forward(self, connected: Callable[[ForwardedStream], None]) -> int:
        """Have the host listen at a port of its loopback; see :class:`Connection`."""
        with self._lock:
            self._check()
            if not self._folder:  # the user's own connection is used
                self._folder = _new_folder()
            path = f"{self._folder}/{next(self._numbers)}"
        made = OpenSSHForward(self._ssh.master(self._socket), path, connected)
        with self._lock:
            is_of_use = self._lost is None and not self._is_closed
            if is_of_use:
                self._forwards[made.port] = made
        if not is_of_use:
            made.close(is_lost=bool(self._socket))
            raise ConnectionError("the connection has been closed")
        return made.port

    def stop_forwarding(self, port: int) -> None:
        """Have the host listen there no more; see :class:`Connection`."""
        with self._lock:
            known = self._forwards.pop(port, None)
        if known is not None:
            known.close()

    def _check(self) -> None:
        """Raise OSError if it is not there any more, LaunchError if the host runs no commands."""
        if self._refusal is not None:
            raise self._refusal
        if self._lost is not None or self._is_closed:
            how = f"was lost: {self._lost}" if self._lost else "has been closed"
            raise ConnectionResetError(errno.ECONNRESET, f"{self._target}: the connection {how}")

    def explain_loss(self) -> None:
        """Raise what is known of a refusal to run commands; see :class:`Connection`."""
        self._watch.join(2 * _LAST_WORDS_S)  # it reads the last words, too
        if self._refusal is not None:
            raise self._refusal

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
            self._refusal = None if self._is_closed else self._no_commands()
            callback = None if self._is_closed else self._callback
        self._end_forwards()
        self._remove_folder()
        if callback is not None:
            callback(self._lost)

    def _no_commands(self) -> LaunchError | None:
        """Return an error if the connection was lost because the login shell runs no commands."""
        code, output = self._anchor.returncode, self._anchor.stdout
        if code < 0 or code == _CONNECTION_BROKE or output is None:
            return None
        said = output.read(_SHELL_BYTES)
        if _RUNS.encode() in said:
            return None
        words = printable_lines(said.decode(errors="replace").strip())
        return no_commands(self._target, code, words, shlex.join(self._ssh.by_hand))

    def close(self) -> None:
        """Close it with all its channels; see :class:`Connection`."""
        with self._lock:
            self._is_closed = True
            channels, self._channels = self._channels, []
        for channel in channels:
            channel.end()
        self._end_forwards()
        anchor = getattr(self, "_anchor", None)
        if anchor is not None:
            with self._lock:
                kill(anchor)
        for channel in channels:  # only now, so that they end at the same time
            channel.wait()
        if anchor is not None:
            wait_or_kill(anchor)
            anchor.stdin.close()
            anchor.stdout.close()
        self._remove_folder()

    def _end_forwards(self) -> None:
        is_lost = bool(self._socket)  # or it is the user's connection, which stays
        with self._lock:
            forwards, self._forwards = list(self._forwards.values()), {}
        for each in forwards:
            with contextlib.suppress(OSError):  # it ended with the connection
                each.close(is_lost=is_lost)

    def _remove_folder(self) -> None:
        if not self._folder:
            return
        deadline = time.monotonic() + _REMOVED_S
        # (two threads want this at the end: whoever comes second waits until the folder has gone)
        with self._removing, contextlib.suppress(OSError):
            # an ssh that is ending may still have made something in it
            while not remove_private_folder(self._folder, _PREFIX) and time.monotonic() < deadline:
                time.sleep(_REMOVED_S / 20)


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
