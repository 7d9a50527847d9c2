"""Running a command on a host to its end, over a connection."""

from __future__ import annotations

import errno
import secrets
import threading
import time
from typing import NamedTuple

from ._connection import Channel, Connection
from ._remote_shell import COMMAND, plain_script, told_apart

_READ_BYTES = 1 << 18
_LAST_S = 0.5  # after a command's end, for what it has said last; a child may keep its output open
_KILL_S = 5.0
_OUTPUT_BYTES = 1 << 28  # a command that writes more than that writes without end
_SIGNALS = range(129, 129 + 64)


class Done(NamedTuple):
    """How a command ended: its exit code (negative for a signal), and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class NotStarted(Exception):
    """The command was not started: its shell ended before.

    Attributes:
        exit_code: the shell's.
    """

    def __init__(self, exit_code: int | None, words: str) -> None:
        super().__init__(words)
        self.exit_code = exit_code


class TooMuchOutput(OSError):
    """A command's output does not end."""


def new_mark() -> str:
    """Return what no start-up file says by chance."""
    return secrets.token_hex(16)


def run(
    connection: Connection, script: bytes, mark: str, *, input: bytes = b"", timeout_s: float
) -> Done:
    """Run a script of :mod:`_remote_shell`, and wait for the end of its command.

    Raises NotStarted, TimeoutError or TooMuchOutput when it has been killed, or another OSError if
    the connection is lost.
    """
    command = _Command(connection, script + input)
    try:
        try:
            is_over = command.wait(time.monotonic() + timeout_s)
        except TooMuchOutput:
            pid = told_apart(bytes(command.stdout), b"", mark).pid
            if pid is not None and pid > 1:
                _kill(connection, pid)
            raise
        said = told_apart(bytes(command.stdout), bytes(command.stderr), mark)
        if not is_over:
            if said.pid is not None and said.pid > 1:
                _kill(connection, said.pid)
            raise TimeoutError(f"it did not end within {timeout_s:g} s")
        code = command.exit_code
        if said.pid is None:
            words = (said.stderr or said.stdout).decode(errors="replace").strip()
            raise NotStarted(code, words)
        if code is None:
            raise OSError(errno.ECONNRESET, "the connection was lost while a command ran")
        code = 128 - code if code in _SIGNALS else code  # as a shell tells of them
        return Done(code, said.stdout, said.stderr)
    finally:
        command.close()


def output_of(connection: Connection, script: bytes, timeout_s: float) -> bytes:
    """Return all that a script says on its standard output, its start-up files included.

    Raises TimeoutError or another OSError.
    """
    command = _Command(connection, script)
    try:
        if not command.wait(time.monotonic() + timeout_s):
            raise TimeoutError(f"the login shell did not end within {timeout_s:g} s")
        return bytes(command.stdout)
    finally:
        command.close()


class _Command:
    """A command that runs: what it is given, and what it has said so far."""

    def __init__(self, connection: Connection, given: bytes) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self._channel: Channel = connection.start(COMMAND, self.stderr.extend)
        self._stream = self._channel.stream
        self._wake_up = threading.Event()
        self._stream.on_wake_up(self._wake_up.set)
        self._unsent = memoryview(given)

    @property
    def exit_code(self) -> int | None:
        return self._channel.exit_status()

    def wait(self, deadline: float) -> bool:
        """Wait for the end of the command; return whether it has ended."""
        is_given, has_hung_up = False, False
        while not has_hung_up:
            if not is_given:
                is_given = self._give()
            has_hung_up = self._take()
            self._check_size()
            if not has_hung_up:
                ended = self._channel.exit_status() is not None
                limit = min(deadline, time.monotonic() + _LAST_S) if ended else deadline
                # (an end without an end of its output is noticed by and by)
                if not self._wait(min(limit, time.monotonic() + _LAST_S)):
                    if ended:
                        return True
                    if time.monotonic() >= deadline:
                        return False
        while self._channel.exit_status() is None and time.monotonic() < deadline:
            if not self._wait(min(deadline, time.monotonic() + _LAST_S)):
                break  # it can't be known
        return True

    def _check_size(self) -> None:
        if len(self.stdout) + len(self.stderr) > _OUTPUT_BYTES:
            raise TooMuchOutput(errno.EFBIG, f"it wrote more than {_OUTPUT_BYTES >> 20} MiB")

    def _wait(self, until: float) -> bool:
        is_woken = self._wake_up.wait(max(0.0, until - time.monotonic()))
        self._wake_up.clear()
        return is_woken

    def _give(self) -> bool:
        """Give what there is room for; return whether that was all."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._stream.send([self._unsent]) :]
        except BlockingIOError:
            return False
        except OSError:
            pass  # it does not read any more; what it says tells why
        return True

    def _take(self) -> bool:
        """Take what has been said; return whether that was all."""
        try:
            while data := self._stream.receive(_READ_BYTES):
                self.stdout += data
                self._check_size()
        except BlockingIOError:
            return False
        except TooMuchOutput:
            raise
        except OSError:
            pass
        return True

    def close(self) -> None:
        self._channel.close()


def _kill(connection: Connection, pid: int) -> None:
    """Kill a command with what it started."""
    mark = new_mark()
    try:
        run(connection, plain_script('kill -9 "-$1"', mark, str(pid)), mark, timeout_s=_KILL_S)
    except (OSError, NotStarted):
        pass  # it is gone, or nothing can be done
