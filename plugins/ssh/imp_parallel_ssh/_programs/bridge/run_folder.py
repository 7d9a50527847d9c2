"""The private folder of a run: it stays while any bridge holds it or any slave lives in it."""

from __future__ import annotations

import fcntl
import os

from imp_parallel_core.private_folders import (
    MARK,
    open_private_folder,
    remove_private_folder,
    was_made_here,
)

from .listeners import is_heard

PREFIX = ".imp_parallel-slaves-"
"""What the name of each run's folder begins with."""
TURN = "turn"
"""A file in a run's folder: the bridge that checks whether the folder is needed locks it."""


class RunFolder:
    """A bridge's hold on the run's private folder.

    Raises FileNotFoundError if the folder has gone, another OSError if the path is that of anything
    else.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = open_private_folder(path, PREFIX)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_SH)
            # it may have gone while this bridge waited
            os.stat(MARK, dir_fd=self.descriptor)
        except BaseException:
            os.close(self.descriptor)
            raise

    def release(self) -> None:
        """Let go of the folder; remove it if no other bridge holds it and no slave is in it."""
        os.close(self.descriptor)  # first: of bridges that let go at the same time, one is the last
        try:
            remove_if_unused(self.path)
        except OSError:
            pass  # it has gone


def remove_if_unused(path: str) -> None:
    """Remove a run's folder, unless a bridge holds it or a slave lives in it.

    One bridge checks at a time: a bridge that lets go while another one checks, which may have seen
    the first one's slave alive, must check after it. Raises OSError if there is no such folder.
    """
    held = [open_private_folder(path, PREFIX)]
    try:
        if not was_made_here(held[0]):
            return  # the slaves of another machine, which shares the disk, can't be seen from here
        try:
            held.append(os.open(TURN, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=held[0]))
            fcntl.flock(held[1], fcntl.LOCK_EX)
        except FileNotFoundError:
            pass  # it is being removed, or was never complete
        fcntl.flock(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        names = os.listdir(held[0])
        if not any(name.endswith(".socket") and is_heard(f"{path}/{name}") for name in names):
            remove_private_folder(path, PREFIX)
    except BlockingIOError:
        pass  # a bridge holds it
    finally:
        for descriptor in held:
            os.close(descriptor)
