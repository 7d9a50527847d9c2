"""Runs commands and keeps files, here or, behind the same interface, on another machine.

A batch plugin does all that it does to its cluster through a :class:`CommandHost`. So the same
plugin works with another host for a cluster whose commands are only on a login node.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from .._printable import printable_lines
from ..private_folders import make_private_folder, remove_private_folder
from .guardian import guarded
from .launch import open_to_read

_logger = logging.getLogger("imp_parallel.launch")

_KILLED_S = 1.0  # how long a killed command is waited for; one in a hung file system stays
_LAST_S = 2.0
_LAST_POLL_S = 0.02


class CommandResult(NamedTuple):
    """How a command ended.

    Attributes:
        exit_code: its exit code; negative for a signal.
        stdout: what it wrote to its standard output.
        stderr: what it wrote to its standard error.
    """

    exit_code: int
    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        """What the command said, for messages: its errors, or else its output; printable."""
        return printable_lines(self.stderr.strip() or self.stdout.strip())


class CommandHost(Protocol):
    """A machine on which a plugin runs commands and keeps files.

    Its methods wait. They are called from threads that may wait, several at a time: the threads of
    launches, or the user's in ``check()``. They raise OSError if something goes wrong, TimeoutError
    if it takes too long, and an Error of the library if the machine can't be reached at all.
    """

    def find_program(self, name: str) -> str | None:
        """Return the path of a program; None if the search path does not have it."""

    def search_path(self) -> str:
        """Return the search path, for error messages."""

    def home(self) -> str:
        """Return the user's home folder."""

    def run(
        self, argv: Sequence[str], *, timeout_s: float, input: bytes = b"", cwd: str | None = None
    ) -> CommandResult:
        """Run a command, without a shell, and wait for its end.

        Args:
            argv: the program and its arguments.
            timeout_s: how long it may take; then it is killed, with all that it started.
            input: its standard input.
            cwd: where to run it.
        """

    def read_file(self, path: str, *, limit_bytes: int) -> bytes:
        """Return a plain file's content; of a longer file its end. Links are not followed."""

    def write_file(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Make a new file. There must be nothing of its name, not even a link."""

    def write_files(self, folder: str, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
        """Make new files in a folder, by name, as :meth:`write_file` does; in one go."""

    def remove_files(self, paths: Sequence[str]) -> None:
        """Remove files, in one go; each may have gone already."""

    def make_private_folder(self, parent: str, prefix: str) -> str:
        """Make a new folder that only its owner can look into; return its path.

        Args:
            parent: the folder to make it in.
            prefix: the beginning of its name.
        """

    def remove_folder(self, path: str) -> None:
        """Remove a folder with all that is in it; it may have gone already.

        No folder is removed that :meth:`make_private_folder` did not make, whatever path is given.
        """


class LocalHost:
    """The machine that the script itself runs on, as a :class:`CommandHost`."""

    def find_program(self, name: str) -> str | None:
        """Return the path of a program; None if the PATH does not have it."""
        return shutil.which(name)

    def search_path(self) -> str:
        """Return the PATH."""
        return os.environ.get("PATH", os.defpath)

    def home(self) -> str:
        """Return the user's home folder."""
        return str(Path.home())

    def run(
        self, argv: Sequence[str], *, timeout_s: float, input: bytes = b"", cwd: str | None = None
    ) -> CommandResult:
        """Run a command outside the terminal's process group: Ctrl-C is for the script alone."""
        # files, not pipes: a process that keeps a pipe open would have us wait for its end
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(input)
            given.seek(0)
            with _starting:
                process = subprocess.Popen[bytes](
                    list(argv), stdin=given, stdout=out, stderr=err, cwd=cwd, start_new_session=True
                )
                _running.add(process)
            try:
                with guarded(process.pid):
                    exit_code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"{argv[0]} did not end within {timeout_s:g} s") from None
            finally:
                _running.discard(process)
                _end(process)
            return CommandResult(exit_code, _text_of(out), _text_of(err))

    def read_file(self, path: str, *, limit_bytes: int) -> bytes:
        """Return a plain file's content; of a longer file its end. Links are not followed."""
        with open_to_read(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit_bytes))
            return file.read(limit_bytes)

    def write_file(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Make a new file. There must be nothing of its name, not even a link."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)

    def write_files(self, folder: str, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
        """Make new files in a folder, by name."""
        for name, data in files.items():
            self.write_file(str(Path(folder) / name), data, mode=mode)

    def remove_files(self, paths: Sequence[str]) -> None:
        """Remove files; each may have gone already."""
        for path in paths:
            Path(path).unlink(missing_ok=True)

    def make_private_folder(self, parent: str, prefix: str) -> str:
        """Make a new folder of mode 0700; return its path."""
        return make_private_folder(parent, prefix)

    def remove_folder(self, path: str) -> None:
        """Remove a private folder with all that is in it; it may have gone already."""
        try:
            why = "" if remove_private_folder(path) else "something in it can't be removed"
        except OSError as problem:
            why = problem.strerror or str(problem)
        if why:
            _logger.warning("%s is left: %s", path, why)


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


_running: set[subprocess.Popen[bytes]] = set()
_starting = threading.Lock()  # from the start of a command until it is among those that run


def _end_all() -> None:
    """Kill commands that hang when the script ends; one that is just slow may do its work."""
    deadline = time.monotonic() + _LAST_S
    # Another thread's command may be there, and not among the running ones. (A start may hang.)
    if _starting.acquire(timeout=_LAST_S):
        _starting.release()
    while any(process.poll() is None for process in list(_running)):
        if time.monotonic() >= deadline:
            break
        time.sleep(_LAST_POLL_S)
    for process in list(_running):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _forget_all() -> None:
    """In a forked child: the commands are the parent's."""
    global _starting
    _running.clear()
    _starting = threading.Lock()  # another thread may have held the parent's


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget_all)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command that has not ended, with all that it started."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    try:
        process.wait(_KILLED_S)
    except subprocess.TimeoutExpired:
        pass
