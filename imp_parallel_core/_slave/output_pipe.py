"""The supervisor's end of the pipe that a runner prints to, where its output can't be read again.

What comes is passed on, and the end of it is kept. The supervisor never waits for whoever reads the
slave's output: while that one takes nothing, the supervisor takes nothing from the pipe, and tasks
that print wait, as they would without the pipe.
"""

from __future__ import annotations

import fcntl
import os
import select
import selectors
import stat
import time
from array import array
from termios import FIONREAD

from .._light_typing import TYPE_CHECKING
from .._wire import heads
from .._wire.shared_memory import open_segment
from .item_output import SPAN
from .outlet import ANNOUNCED, BEGIN, ITEM, LIMIT_BYTES, TAKEN, last_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._wire.protocol import Message

_WAITING_BYTES = 1 << 20  # no more is taken to find the output of items that have failed
_UNWATCHED_BYTES = 512  # a pipe that has room at all has room for so many
_LAST_S = 0.5  # for the last output of a slave to be taken


class Sink:
    """The slave's own output, to which what its runners print is passed on.

    Args:
        selector: the selector of the supervisor's loop.
        descriptor: the slave's standard output.
    """

    def __init__(self, selector: selectors.BaseSelector, descriptor: int = 1) -> None:
        self._selector = selector
        self._waiting = b""
        self._is_registered = False
        self._is_gone = False
        self.when_empty: Callable[[], None] = lambda: None
        """Called when all has been written that had to wait."""
        self._descriptor, self._never_waits = _opened_anew(descriptor)

    @property
    def waiting_bytes(self) -> int:
        """How much has not been written yet."""
        return len(self._waiting)

    def put(self, data: bytes) -> None:
        """Write data, now or later."""
        self._waiting += data
        self._write()

    def finish(self) -> None:
        """Write the rest, if whoever reads it takes it soon."""
        deadline = time.monotonic() + _LAST_S
        while self._waiting and (left_s := deadline - time.monotonic()) > 0:
            self._is_writable(left_s)
            self._write()

    def _write(self, events: int = 0) -> None:
        try:
            while self._waiting and not self._is_gone:
                piece = self._waiting
                if not self._never_waits:
                    if not self._is_writable(0):
                        raise BlockingIOError
                    piece = piece[:_UNWATCHED_BYTES]
                self._waiting = self._waiting[os.write(self._descriptor, piece) :]
        except BlockingIOError:
            self._await_room()
            return
        except OSError:  # nobody reads it any more
            self._is_gone = True
        self._waiting = b""
        if self._is_registered:
            self._is_registered = False
            self._selector.unregister(self._descriptor)
        self.when_empty()

    def _is_writable(self, wait_s: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(wait_s * 1000))

    def _await_room(self) -> None:
        if not self._is_registered:
            self._is_registered = True
            self._selector.register(self._descriptor, selectors.EVENT_WRITE, self._write)


def _opened_anew(descriptor: int) -> tuple[int, bool]:
    """Return a descriptor for the same output, and whether a write to it never waits.

    O_NONBLOCK on the descriptor itself would hold for other processes that share it.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.dup(descriptor), True  # for a disk, but for nobody else
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{descriptor}", flags), True
    except OSError:  # a socket, or this system has no such path
        return os.dup(descriptor), False


class OutputPipe:
    """The supervisor's end of one runner's pipe.

    Args:
        descriptor: the end that is read.
        words: those of the register that is shared with the runner.
        selector: the selector of the supervisor's loop.
        sink: where to pass the output on.
        catch_up: takes the messages that the runner has sent so far, for which this calls
            :meth:`completed`.
    """

    def __init__(
        self,
        descriptor: int,
        words: memoryview[int],
        selector: selectors.BaseSelector,
        sink: Sink,
        catch_up: Callable[[], None],
    ) -> None:
        self._descriptor = descriptor
        self._words = words
        self._selector = selector
        self._sink = sink
        self._catch_up = catch_up
        self._kept = b""  # the end of what was taken
        self._count = array("i", [0])
        self._is_listening = False
        sink.when_empty = self._listen
        self._listen()

    def completed(self, outcome: Message) -> Message:
        """Return a runner's OUTCOME of an item that raised, with the item's output in it.

        The runner says only where the output is in the pipe.
        """
        at, segments = heads.OUTPUT_SEGMENT, list(outcome.segments)
        if len(segments) <= at or len(segments[at]) != SPAN.size:
            return outcome  # a task has written to the wire
        segments[at] = self._between(*SPAN.unpack(open_segment(segments[at])))
        return outcome._replace(segments=segments)

    def of_item(self, item: int) -> bytes | None:
        """Return the output of the item that has ended the runner."""
        while self._take():
            pass
        if self._words[ITEM] != item:
            return b""
        return self._between(self._words[BEGIN], self._words[TAKEN])

    def close(self) -> None:
        """Pass on what is left; the runner has ended."""
        while self._sink.waiting_bytes < _WAITING_BYTES and self._take():
            pass
        self._listen_no_more()
        self._sink.when_empty = lambda: None
        os.close(self._descriptor)

    def _between(self, begin: int, end: int) -> bytes:
        while self._words[TAKEN] < end and self._take():
            pass
        taken = self._words[TAKEN]
        at = taken - len(self._kept)
        return last_lines([self._kept[max(begin - at, 0) : max(end - at, 0)]])

    def _listen(self) -> None:
        if not self._is_listening:
            self._is_listening = True
            self._selector.register(self._descriptor, selectors.EVENT_READ, self._ready)

    def _listen_no_more(self) -> None:
        if self._is_listening:
            self._is_listening = False
            self._selector.unregister(self._descriptor)

    def _ready(self, events: int) -> None:
        # Whatever has failed before the bytes that wait here were written has been told already. So
        # the end of its output, which is still kept, is asked for before more is taken.
        self._catch_up()
        self._kept = self._kept[-LIMIT_BYTES - 1 :]
        self._take()
        if self._sink.waiting_bytes:
            self._listen_no_more()  # until the sink is empty

    def _take(self) -> bool:
        """Take what is there; return whether there was anything, and room for it."""
        if self._sink.waiting_bytes >= _WAITING_BYTES:
            return False
        fcntl.ioctl(self._descriptor, FIONREAD, self._count)
        (count,) = self._count
        if not count:
            return False
        words = self._words
        taken = words[TAKEN] + count
        words[ANNOUNCED] = taken  # until it is taken, the runner can't tell how much was written
        data = os.read(self._descriptor, count)
        words[TAKEN] = taken
        self._kept += data
        self._sink.put(data)
        return True
