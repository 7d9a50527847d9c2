"""Running a command on a host to its end, over a connection."""

from __future__ import annotations

import errno
import secrets
import select
import time
from typing import NamedTuple

from .._channel_wait import StreamWait, exit_status_at_end
from .._connection import Channel, Connection
from .scripts import COMMAND, end_told, plain_script, redirection, told_apart

_READ_BYTES = 1 << 18
_END_BYTES = 64  # more than the end of a command takes to be told
_LAST_S = 0.5  # after a command's end, for what it has said last; a child may keep its output open
_KILL_S = 5.0
_STATUS_S = 2.0  # after the end of a command's output, for how the command has ended
_OUTPUT_BYTES = 1 << 28  # a command that writes more than that writes without end
_BOTH = select.POLLIN | select.POLLOUT
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

    def __init__(self, exit_code: int, words: str) -> None:
        super().__init__(words)
        self.exit_code = exit_code


class Redirected(NotStarted):
    """Start-up files of the shell have sent its output elsewhere: what is said can't be told."""


class TooMuchOutput(OSError):
    """A command's output does not end."""


def new_mark() -> str:
    """Return what no start-up file says by chance."""
    return secrets.token_hex(16)


def run(
    connection: Connection, script: bytes, mark: str, *, input: bytes = b"", timeout_s: float
) -> Done:
    """Run a script of :mod:`.scripts`, and wait for the end of its command.

    Raises NotStarted (Redirected if its output is not where it belongs), TimeoutError or
    TooMuchOutput when it has been killed, another OSError if the connection is lost; or LaunchError
    if that was because the login shell runs no commands.
    """
    command = _Command(connection, script + input, mark)
    try:
        try:
            is_over = command.wait(time.monotonic() + timeout_s)
        except TooMuchOutput:
            pid = told_apart(bytes(command.stdout), b"", mark).pid
            if pid is not None and pid > 1:
                _kill(connection, pid)
            raise
        said = told_apart(bytes(command.stdout), bytes(command.stderr), mark)
        if how := redirection(said, mark):
            raise Redirected(command.channel.exit_status() or 0, how)
        if not is_over:
            if said.pid is not None and said.pid > 1:
                _kill(connection, said.pid)
            raise TimeoutError(f"it did not end within {timeout_s:g} s")
        code = command.channel.exit_status() if said.exit_code is None else said.exit_code
        if said.pid is None:
            words = (said.stderr or said.stdout).decode(errors="replace").strip()
            if code is None:
                connection.explain_loss()
                lost = "the connection was lost before a command began"
                raise OSError(errno.ECONNRESET, f"{lost}: {words}" if words else lost)
            raise NotStarted(code, words)
        if code is None:
            raise OSError(errno.ECONNRESET, "the connection was lost while a command ran")
        code = 128 - code if code in _SIGNALS else code  # as a shell tells of them
        return Done(code, said.stdout, said.stderr)
    finally:
        command.close()


def output_of(connection: Connection, script: bytes, mark: str, timeout_s: float) -> bytes:
    """Return all that a script says on its standard output, its start-up files included.

    Raises TimeoutError or another OSError.
    """
    command = _Command(connection, script, mark)
    try:
        if not command.wait(time.monotonic() + timeout_s):
            raise TimeoutError(f"the login shell did not end within {timeout_s:g} s")
        return bytes(command.stdout)
    finally:
        command.close()


class _Command:
    """A command that runs: what it is given, and what it has said so far."""

    def __init__(self, connection: Connection, given: bytes, mark: str) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self.channel: Channel = connection.start(COMMAND, self.stderr.extend)
        self._stream = self.channel.stream
        self._waiter = StreamWait(self._stream)
        self._unsent = memoryview(given)
        self._mark = mark
        self._is_end_told, self._looked_bytes = False, 0

    def wait(self, deadline: float) -> bool:
        """Wait for the end of the command, or of its output; return whether that has come."""
        is_given = False
        while True:
            is_given = is_given or self._give()
            if self._take():
                if not self._has_ended():
                    exit_status_at_end(self.channel, _STATUS_S)
                return True
            self._check_size()
            has_ended = self._has_ended()
            # (an end without an end of its output is noticed by and by)
            left_s = min(_LAST_S, deadline - time.monotonic())
            if not self._waiter.wait(left_s, select.POLLIN if is_given else _BOTH) and has_ended:
                return True
            if time.monotonic() >= deadline:
                return has_ended

    def _has_ended(self) -> bool:
        """Return whether the command has; its output may be kept open by what it has started."""
        if not self._is_end_told:
            begin, self._looked_bytes = self._looked_bytes, max(0, len(self.stderr) - _END_BYTES)
            self._is_end_told = end_told(self.stderr, self._mark, begin) is not None
        return self._is_end_told or self.channel.exit_status() is not None

    def _check_size(self) -> None:
        if len(self.stdout) + len(self.stderr) > _OUTPUT_BYTES:
            raise TooMuchOutput(errno.EFBIG, f"it wrote more than {_OUTPUT_BYTES >> 20} MiB")

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
        self.channel.close()


def _kill(connection: Connection, pid: int) -> None:
    """Kill a command with what it started."""
    mark = new_mark()
    try:
        run(connection, plain_script('kill -9 "-$1"', mark, str(pid)), mark, timeout_s=_KILL_S)
    except (OSError, NotStarted):
        pass  # it is gone, or nothing can be done
