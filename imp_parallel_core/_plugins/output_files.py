"""The files that slaves' output goes to: the user's own, and no other run's.

A Manager locks the file of its first slave (``flock``) for as long as it exists, and so has all
names of its pattern for itself. A file of a run that has ended is emptied and written anew. A file
that must not be written to is left as it is, and the file beside it gets ``-run2`` (or the next
number that is free) in its name. That holds for a file of a run that goes on, for a file of another
user, and for anything but a plain file, such as a link or a FIFO. Where the file system has no
locks, every file that exists already is left as it is. Files that are empty at the end of a run are
removed.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import stat
import weakref
from typing import BinaryIO

from .._errors import LaunchError

OUTPUT_ADVICE = "Give Manager an output= in a folder that exists and can be written to, or None."
"""What to do about an output that can't be written, for scripts."""

_logger = logging.getLogger("imp_parallel")

_FOR_SURE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # no link, and no waiting
_MODE = 0o666
_NOT_TO_BE_OPENED = (errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENXIO, errno.ENODEV)
_own_ids: set[tuple[int, int]] = set()
"""Devices, and the user that new files of this process belong to there: not always this one."""


class OutputFiles:
    """The output files of one Manager's slaves.

    Args:
        pattern: a path with ``%d`` for a slave's number; None for no files.
        folder: the folder that the path is relative to.

    Raises ValueError for a bad pattern.
    """

    def __init__(self, pattern: str | None, folder: str) -> None:
        self._pattern = None if pattern is None else _check_pattern(pattern)
        self._folder = folder
        self._run = 1
        self._made: dict[str, os.stat_result] = {}
        self._locked: list[int] = []
        self._has_warned = False
        _all.add(self)

    def make(self, index: int) -> str | None:
        """Make the file of a slave, empty; return its path. Raises LaunchError."""
        if self._pattern is None:
            return None
        named = os.path.join(self._folder, self._pattern % index)
        reason = ""
        is_first = not self._made
        for run in itertools.count(self._run):
            path = _name_of_run(named, run)
            try:
                self._take(path, is_claim=is_first or run != self._run)
            except _NotOurs as problem:
                reason = reason or f"{path} {problem}"
                continue
            except OSError as problem:
                raise _failure(path, problem) from problem
            if reason:
                self._tell(reason, path)
            if is_first:
                self._run = run
            return path
        raise AssertionError("there is always another number")

    def _take(self, path: str, *, is_claim: bool) -> None:
        """Make a file, or empty one that is there. Raises _NotOurs, OSError."""
        descriptor = -1
        try:
            while True:
                descriptor, is_new = _open_or_make(path)
                status = os.fstat(descriptor)
                if is_new:
                    _own_ids.add((status.st_dev, status.st_uid))
                elif refusal := _refusal(status):
                    raise _NotOurs(refusal)
                is_locked = _lock(descriptor, is_new=is_new)
                if _is_at(path, status):
                    break
                os.close(descriptor)  # a run that has just ended has removed it
                descriptor = -1
            os.ftruncate(descriptor, 0)
            self._made[path] = status
            if is_claim and is_locked:
                self._locked.append(os.dup(descriptor))
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _tell(self, reason: str, path: str) -> None:
        log = _logger.info if self._has_warned else _logger.warning
        self._has_warned = True
        log("%s: the output of this run's slaves goes to %s, and so on", reason, path)

    def close(self) -> None:
        """Remove the files that are empty, and let other runs have the names."""
        for path, status in self._made.items():
            _remove_if_empty(path, status)
        self.abandon()

    def abandon(self) -> None:
        """Leave all to the process that this one is a fork of."""
        self._made.clear()
        for descriptor in self._locked:
            os.close(descriptor)
        self._locked.clear()


_all: weakref.WeakSet[OutputFiles] = weakref.WeakSet()


def _forked() -> None:
    for files in _all:
        files.abandon()


os.register_at_fork(after_in_child=_forked)


class _NotOurs(Exception):
    """A file that this run must not write to; says why."""


def open_output(path: str | None) -> BinaryIO:
    """Open a slave's output file to write at its end; None is the null device.

    For launchers. Never follows a link, and never waits: a file that exists must be a plain file of
    the user's own. A file that was removed is made again. Raises LaunchError.
    """
    try:
        if path is None:
            return open(os.devnull, "ab")
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FOR_SURE, _MODE)
    except OSError as problem:
        raise _failure(path or os.devnull, problem) from problem
    refusal = _refusal(os.fstat(descriptor))
    if refusal:
        os.close(descriptor)
        raise LaunchError(f"the output of a slave can't be written to {path}, which {refusal}")
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "ab")


_LINK_ERRORS = (errno.ELOOP, errno.EMLINK)
_A_LINK = "it is a symbolic link"


def _check_pattern(pattern: str) -> str:
    try:
        distinct = pattern % 0 != pattern % 1
    except (TypeError, ValueError):
        distinct = False
    if not distinct:
        raise ValueError(
            f"output={pattern!r} must hold one %d, for the number of the slave, such as "
            "'slave%d.output'"
        )
    return pattern


def _name_of_run(path: str, run: int) -> str:
    if run == 1:
        return path
    stem, suffix = os.path.splitext(path)
    return f"{stem}-run{run}{suffix}"


def _open_or_make(path: str) -> tuple[int, bool]:
    """Open a file, and make it if it is not there; return also whether it is new."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FOR_SURE, _MODE), True
        except FileExistsError:
            pass
        try:
            return os.open(path, os.O_RDWR | _FOR_SURE), False
        except FileNotFoundError:
            continue  # it has just been removed
        except OSError as problem:
            if problem.errno in _LINK_ERRORS:
                raise _NotOurs("is a symbolic link") from None
            if problem.errno in _NOT_TO_BE_OPENED:
                raise _NotOurs(f"can't be written to ({problem.strerror})") from None
            raise


def _refusal(status: os.stat_result) -> str:
    """Return why a file that is there must not be written to; "" if it may."""
    if not stat.S_ISREG(status.st_mode):
        return "is no plain file"
    if status.st_uid != os.geteuid() and (status.st_dev, status.st_uid) not in _own_ids:
        return "belongs to another user"
    if status.st_nlink > 1:
        return "has other names (hard links)"
    return ""


def _lock(descriptor: int, *, is_new: bool) -> bool:
    """Lock a file; return whether that is possible there. Raises _NotOurs."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _NotOurs("is that of another run, which goes on") from None
    except OSError as problem:
        if is_new:
            return False
        raise _NotOurs(
            f"is there already, and might be that of a run that goes on: files can't be locked "
            f"there ({problem.strerror})"
        ) from None
    return True


def _is_at(path: str, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), status)
    except OSError:
        return False


def _remove_if_empty(path: str, made: os.stat_result) -> None:
    try:
        # opening it has a network file system ask for its true size
        descriptor = os.open(path, os.O_RDONLY | _FOR_SURE)
        status = os.fstat(descriptor)
        os.close(descriptor)
        if os.path.samestat(status, made) and not status.st_size:
            os.unlink(path)
    except OSError:
        pass  # it is there no more, or nothing can be done


def _failure(path: str, problem: OSError) -> LaunchError:
    from .start_failure import advice_for

    words = _A_LINK if problem.errno in _LINK_ERRORS else problem.strerror
    return LaunchError(
        f"the output of a slave can't be written to {path}: {words}. "
        f"{advice_for(problem, OUTPUT_ADVICE)}"
    )
