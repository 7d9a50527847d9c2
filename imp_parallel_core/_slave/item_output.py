"""The runner's side of :mod:`.outlet`: where items begin, and what one that failed has printed."""

from __future__ import annotations

import os
from functools import partial
from struct import Struct

from .._light_typing import TYPE_CHECKING
from .outlet import ANNOUNCED, BEGIN, FILE, PIPE, TAKEN, Register, read_file

if TYPE_CHECKING:
    from collections.abc import Callable

SPAN = Struct("!QQ")  # where an item's output begins in the pipe, and where it ends


class ItemOutput:
    """Tells where the slave's output is, before and after each item.

    Args:
        kind: of the outlet.
        register: the memory that is shared with the supervisor.
        descriptor: a duplicate of standard output, since tasks may put other things there.
    """

    position: Callable[[], int]
    """Returns how far the output has come."""

    def __init__(self, kind: int, register: Register, descriptor: int) -> None:
        self.words = register.words
        """The register's. Before each item, the runner puts the position there, and the item after
        that: if it is killed in between, nobody takes the position for that of the item."""
        self._kind = kind
        self._descriptor = descriptor
        if kind == FILE:
            self.position = _end_of_last_write(descriptor)
        elif kind == PIPE:
            self.position = _counter_of_written(self.words, descriptor)
        else:
            self.position = int

    def of_failed(self) -> bytes:
        """Return the segment of an OUTCOME for the output of the item that has just failed.

        Of a pipe it says only where the output is: the supervisor puts the output in its place.
        """
        begin, end = self.words[BEGIN], self.position()
        if self._kind == FILE:
            return read_file(self._descriptor, begin, end)
        return SPAN.pack(begin, end) if self._kind == PIPE else b""


def _end_of_last_write(descriptor: int) -> Callable[[], int]:
    """Return a function that tells where the last write to a file has ended.

    The supervisor, the runner and what tasks start share one position in the file.
    """
    return partial(os.lseek, descriptor, 0, os.SEEK_CUR)


def _counter_of_written(words: memoryview[int], descriptor: int) -> Callable[[], int]:
    """Return a function that counts the bytes that were ever written to a pipe."""
    import fcntl
    import time
    from array import array
    from termios import FIONREAD

    waiting = array("i", [0])
    ioctl = fcntl.ioctl

    def count_written() -> int:
        while True:
            taken = words[TAKEN]
            ioctl(descriptor, FIONREAD, waiting)
            if words[ANNOUNCED] == taken:  # and so the supervisor has read nothing meanwhile
                return taken + waiting[0]
            time.sleep(1e-5)

    return count_written
