"""The private folder of the files that hold what slaves print until the script shows it.

Its owner locks a file in it as long as it lives. So a later run in the same place can tell that the
owner was killed, and removes what it has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os

from ..private_folders import (
    make_private_folder,
    open_private_folder,
    remove_private_folder,
    was_made_here,
)

_logger = logging.getLogger("imp_parallel.output")

_PREFIX = ".imp_parallel-output-"
_OWNER, _NEW_OWNER = "owner", "owner.new"
_LOCK = fcntl.LOCK_EX | fcntl.LOCK_NB


class LiveFolder:
    """A private folder, and the lock that says that it is in use.

    Args:
        parent: the folder to make it in.

    Raises OSError.
    """

    def __init__(self, parent: str) -> None:
        self._parent = parent
        self.path = make_private_folder(parent, _PREFIX)
        self._lock = -1
        with contextlib.suppress(OSError):  # where no file can be locked, nobody removes it later
            self._lock = _lock_new(self.path)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        remove_private_folder(self.path, _PREFIX)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove_left(self) -> None:
        """Remove the folders beside it that runs of this user on this machine have left."""
        try:
            names = [name for name in os.listdir(self._parent) if name.startswith(_PREFIX)]
        except OSError:
            return
        for name in names:
            path = os.path.join(self._parent, name)
            # others are in use, are being made or removed, or are another user's or machine's
            with contextlib.suppress(OSError):
                if path != self.path and _remove_if_left(path):
                    _logger.info("removed %s, which a run that was killed had left", path)


def _lock_new(folder: str) -> int:
    """Make the file of the owner, locked from the moment that it has its name."""
    new = os.path.join(folder, _NEW_OWNER)
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, _LOCK)
        os.rename(new, os.path.join(folder, _OWNER))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_left(path: str) -> bool:
    """Remove a folder whose owner has ended; return whether. Raises OSError if it has not."""
    with contextlib.ExitStack() as stack:
        folder = open_private_folder(path, _PREFIX)
        stack.callback(os.close, folder)
        if not was_made_here(folder):
            return False  # whether a process of another machine lives can't be seen from here
        lock = os.open(_OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        stack.callback(os.close, lock)
        fcntl.flock(lock, _LOCK)
        return remove_private_folder(path, _PREFIX)
