"""A slave on a machine of a system that runs functions, where nothing of this package is installed.

:func:`start_slave` is sent there as a :class:`~.sent.Sent`, so this file needs nothing but the
standard library. The system's own process, in which it runs, keeps the slave: when that process
ends, in whatever way, the slave ends.
"""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .folder_guardian import FolderGuardian

ARCHIVE = "/imp_parallel_core in an archive"  # stands for its path, in a command line
WARNED_S = 2  # how long before its end a slave is warned

_PAUSE_S = 0.05  # between looks whether it has ended
ExitCode = Callable[["subprocess.Popen[bytes]"], "int | None"]

_DOCUMENT_S = 10.0  # for the slave to begin to read
_LOOK_S = 0.2
_LONGEST_PAUSE_S = 10.0  # between reports of what it writes
_PIECE_BYTES = 1 << 16
_LAST_BYTES = 1 << 20


def start_slave(
    index: int,
    exit_code: ExitCode,
    guard: Callable[[], FolderGuardian],
    words: Sequence[str],
    document: bytes,
    environment: Mapping[str, str],
    output: tuple[str, int] | None,
    archive: bytes,
) -> KeptSlave:
    """Start the slave program here, in a subprocess; return what keeps it.

    Args:
        index: its number.
        exit_code: the function of :mod:`.exit_code`, which is sent along.
        guard: the class :class:`.FolderGuardian`, which is sent along.
        words: its command line. If the first is empty, this process's own Python is meant.
        document: the bootstrap document.
        environment: what to add to this process's environment.
        output: the path and the inode number of the slave's output file on the master; None for
            nowhere.
        archive: the slave program, for where it is not installed.

    Raises OSError.
    """
    guardian = guard()
    try:
        code_path = "" if words[0] else _installed_at(archive)
        if not code_path:
            code_path = f"{guardian.path}/slave.zip"
            Path(code_path).write_bytes(archive)
        argv = [word.replace(repr(ARCHIVE), repr(code_path)) for word in words]
        argv[0] = argv[0] or sys.executable or "python3"
        whole = {**os.environ, **environment}
        return KeptSlave(index, exit_code, guardian, argv, document, whole, output)
    except BaseException:
        guardian.end()
        raise


class KeptSlave:
    """A slave, which ends with this process at the latest; see :func:`start_slave`."""

    def __init__(
        self,
        index: int,
        exit_code: ExitCode,
        guardian: FolderGuardian,
        argv: Sequence[str],
        document: bytes,
        environment: Mapping[str, str],
        output: tuple[str, int] | None,
    ) -> None:
        self._index = index
        self._exit_code = exit_code
        self._guardian = guardian
        self._taken = 0  # of the output, if the master does not see the file
        self._is_seen, descriptor = _open_output(guardian.path, output)
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen[bytes](
                argv,
                stdin=theirs.fileno(),
                stdout=descriptor,
                stderr=descriptor,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(descriptor)
        self._socket = ours  # it stays open: the slave takes its end for this process's
        try:
            guardian.watch(self._process.pid)
        except OSError:
            ours.close()
            self._process.kill()
            self._process.wait()
            raise
        ours.settimeout(_DOCUMENT_S)
        try:
            ours.sendall(document)
        except OSError:
            pass  # the slave has ended already, and its output says why

    def wait(self, limit_s: float) -> bool:
        """Wait until it has ended, but not for longer; return whether it has."""
        deadline = time.monotonic() + limit_s
        while self._exit_code(self._process) is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(left_s, _PAUSE_S))
        return True

    def report(self) -> dict[str, Any]:
        """Return what the master should know, as :meth:`SentLaunch.reported` takes it."""
        code = self._exit_code(self._process)
        return {
            "index": self._index,
            "host": socket.gethostname(),
            "pid": self._process.pid,
            "exit_code": code,
            "output": b"" if self._is_seen else self._new_output(is_last=code is not None),
        }

    def keep(self, report: Callable[[dict[str, Any]], None], why_end: Callable[[], str]) -> None:
        """Report how it is until it has ended, or is to be ended; leave nothing of it.

        Args:
            report: takes what :meth:`report` returns, first at once, and last when it has ended.
            why_end: is asked all the time why it is to be ended; returns "" if it is not.
        """
        why = ""
        try:
            report(self.report())
            pause_s = waited_s = _LOOK_S
            while not why and not self.wait(_LOOK_S):
                why = why_end()
                waited_s += _LOOK_S
                news = self.report() if waited_s >= pause_s else {}
                if news.get("output"):
                    report(news)
                    pause_s, waited_s = min(_LONGEST_PAUSE_S, pause_s * 1.5), 0.0
        finally:
            report({**self.end(), "why": why})

    def end(self) -> dict[str, Any]:
        """Warn it, end it by force, and remove its files; return the last report."""
        try:
            if not self.wait(0.0):
                self._process.terminate()
                self.wait(WARNED_S)
            if self._process.returncode is None:  # otherwise its number may be another group's
                try:  # one that has ended may have left others in its group
                    os.killpg(self._process.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
            if self.wait(WARNED_S):
                self._guardian.forget_group()
            last = self.report()
            self._process.poll()
            return last
        finally:
            self._socket.close()
            self._guardian.end()

    def _new_output(self, *, is_last: bool) -> bytes:
        with Path(self._guardian.path, "output").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            limit = _LAST_BYTES if is_last else _PIECE_BYTES
            left_out = max(0, size - self._taken - limit) if is_last else 0
            file.seek(self._taken + left_out)
            output = file.read(limit)
        self._taken += left_out + len(output)
        words = f"\nimp_parallel: {left_out} bytes of output are left out here\n"
        return words.encode() + output if left_out else output


def _installed_at(archive: bytes) -> str:
    """Return where this Python has the slave program installed; "" if not, or in another version.

    Tasks can import all of an installed package, and not only what the archive holds.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for name in opened.namelist():
            folder = _folder_of(name.partition("/")[0])
            try:
                if name.endswith(".py") and Path(folder, name).read_bytes() != opened.read(name):
                    return ""
            except OSError:
                return ""
    return _folder_of("imp_parallel_core")


def _folder_of(package: str) -> str:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return ""
    return str(Path(spec.origin).parents[1]) if spec and spec.origin else ""


def _open_output(folder: str, output: tuple[str, int] | None) -> tuple[bool, int]:
    """Open the file for a slave's output; return also whether the master sees it.

    It is the master's file if that is here at the same path, with the same inode number, and the
    user's own.
    """
    if output is None:
        return True, os.open(os.devnull, os.O_WRONLY)
    path, inode = output
    how = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, how)
    except OSError:
        pass
    else:
        status = os.fstat(descriptor)
        is_ones_own = status.st_uid == os.geteuid() and status.st_nlink == 1
        if is_ones_own and status.st_ino == inode:
            os.set_blocking(descriptor, True)
            return True, descriptor
        os.close(descriptor)
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
    return False, os.open(f"{folder}/output", how, 0o600)
