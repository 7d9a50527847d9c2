"""Where the output of a slave's tasks goes, and how the output of one item is found there.

    ========  ================================================================================
    a file    The runner writes to it, as it would without us. An item's output is what was
              written between two positions in the file.
    PIPE      Anything else that can't be read again: a pipe, a FIFO, a terminal, the null device.
              The runner writes to a pipe of ours. The supervisor passes on what comes there, and
              keeps the end of it (:mod:`.output_pipe`). Positions count the bytes in the pipe.
    UNKNOWN   Standard output and standard error lead to different places: nothing is found.
    ========  ================================================================================

The runner notes where each item's output begins in a :class:`Register`, memory that it shares with
the supervisor. So the position is known also when the item ends the runner. Nothing else is done
for an item that does not fail.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import sys

from .._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE, PIPE, UNKNOWN = range(3)
"""The kinds of outlets."""

ITEM, BEGIN, ANNOUNCED, TAKEN = range(4)
"""The words of a register: the item that began last, where its output begins; and, of the pipe, how
many bytes the supervisor has taken, or is about to take, and how many it has taken."""

LIMIT_BYTES = 8192
"""How much of an item's output is kept at most."""

_REGISTER_BYTES = 32
_F_GETPATH = 50  # macOS


def kind_of_outlet() -> int:
    """Return the kind of this process's standard output and standard error."""
    try:
        return _kind(os.fstat(1), os.fstat(2))
    except OSError:  # one of them is closed
        return UNKNOWN


def _kind(first: os.stat_result, second: os.stat_result) -> int:
    if not _are_one(first, second):
        return UNKNOWN
    is_file = stat.S_ISREG(first.st_mode)
    if not is_file or not fcntl.fcntl(1, fcntl.F_GETFL) & os.O_APPEND:
        return PIPE  # a file that is not appended to may be shared, as the script's own output is
    if not _share_their_position():
        os.dup2(1, 2)
    return FILE


def _are_one(first: os.stat_result, second: os.stat_result) -> bool:
    if stat.S_ISCHR(first.st_mode) and stat.S_ISCHR(second.st_mode):
        return first.st_rdev == second.st_rdev
    return os.path.samestat(first, second)


def _share_their_position() -> bool:
    """Whether descriptors 1 and 2, which lead to one file in append mode, are duplicates."""
    here = os.lseek(1, 0, os.SEEK_CUR)
    os.lseek(1, here + 1, os.SEEK_SET)  # what is written goes to the end all the same
    are_duplicates = os.lseek(2, 0, os.SEEK_CUR) == here + 1
    os.lseek(1, here, os.SEEK_SET)
    return are_duplicates


class Register:
    """A few numbers in memory that the supervisor and one runner share.

    Args:
        memory: the descriptor of such memory; -1 for memory that forks of this process share.
    """

    def __init__(self, memory: int = -1) -> None:
        self.words: memoryview[int] = memoryview(mmap.mmap(memory, _REGISTER_BYTES)).cast("Q")

    @classmethod
    def of_runner(cls, memory: int) -> Register:
        """Return the register in memory of which a runner has inherited the descriptor; close that.

        A runner has as few descriptors as one that is a fork. mmap's object would keep one.
        """
        made = cls.__new__(cls)
        try:
            made.words = _mapped(memory)
        except Exception:  # another Python, or another system
            made = cls(memory)
        os.close(memory)
        return made


def _mapped(memory: int) -> memoryview[int]:
    from .c_library import Pointer, function, memory_at

    protection = mmap.PROT_READ | mmap.PROT_WRITE
    size, begin = Pointer(_REGISTER_BYTES), Pointer(0)
    address = function("mmap")(None, size, protection, mmap.MAP_SHARED, memory, begin)
    if address is None or address % mmap.PAGESIZE:  # MAP_FAILED
        raise OSError("the memory can't be mapped")
    return memory_at(address, _REGISTER_BYTES).cast("Q")


def memory_to_share() -> int:
    """Return the descriptor of memory for a :class:`Register` that another program shares."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("imp-register")
    else:  # not Linux
        import tempfile

        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(descriptor, _REGISTER_BYTES)
    return descriptor


def read_file(descriptor: int, begin: int, end: int) -> bytes:
    """Return the last lines between two positions in the file that a descriptor writes to.

    It returns nothing where the system can't open that file to read it, and if it was emptied.
    """
    if end <= begin:
        return b""
    path = f"/proc/self/fd/{descriptor}"
    try:
        if sys.platform == "darwin":
            path = fcntl.fcntl(descriptor, _F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        start = max(begin, end - LIMIT_BYTES - 1)
        return last_lines([os.pread(opened, end - start, start)])
    except OSError:
        return b""
    finally:
        os.close(opened)


def last_lines(pieces: Sequence[bytes]) -> bytes:
    """Return the last whole lines of some output, or the end of its last line if that is long.

    Args:
        pieces: the output, or more of its end than may be kept.
    """
    data = b"".join(pieces)
    if len(data) <= LIMIT_BYTES:
        return data
    kept = data[-LIMIT_BYTES - 1 :]
    begin = kept.find(b"\n") + 1
    return kept[begin:] if 0 < begin < len(kept) else kept[1:]
