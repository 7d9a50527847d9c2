"""The lines that slaves print, and who has printed each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .._printable import printable_lines

_MARK = re.compile(rb"\x02imp_parallel:(\d+):(\d*)\x03$")  # as _slave.announced writes it
_LONGEST_BYTES = 1 << 16  # a longer line comes in pieces


class OutputLine(NamedTuple):
    """A line that something on a slave has printed.

    Attributes:
        slave: the slave's number.
        context: the number of the context; None if neither a set-up nor a task has begun.
        task: the task's number in its context, or in its map; None in a set-up, and outside.
        text: the line without its end, and with what would steer a terminal escaped.
    """

    slave: int
    context: int | None
    task: int | None
    text: str

    def __str__(self) -> str:
        if self.task is not None:
            return f"[slave {self.slave}, task {self.task}] {self.text}"
        place = "" if self.context is None else ", set-up"
        return f"[slave {self.slave}{place}] {self.text}"


class OutputLines:
    """Makes lines of the output of one slave.

    Args:
        slave: the slave's number.
    """

    def __init__(self, slave: int) -> None:
        self._slave = slave
        self._context: int | None = None
        self._task: int | None = None
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[OutputLine]:
        """Take some output; yield the lines that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            mark = _MARK.search(line)
            if mark is None:
                yield self._line(line)
                continue
            if before := line[: mark.start()]:  # a task has printed it without an end of line
                yield self._line(before)
            self._context = int(mark[1])
            self._task = int(mark[2]) if mark[2] else None
        if len(self._rest) > _LONGEST_BYTES:
            rest, self._rest = self._rest, b""
            yield self._line(rest)

    def left_out(self, size_bytes: int) -> OutputLine:
        """Return the line that says that so much is left out, which may have held marks."""
        self._rest = b""
        self._context = self._task = None
        return OutputLine(self._slave, None, None, f"… {size_bytes:,} bytes are left out …")

    def end(self) -> Iterator[OutputLine]:
        """Yield what was printed last without an end of line."""
        if self._rest:
            yield from self.feed(b"\n")

    def _line(self, data: bytes) -> OutputLine:
        text = printable_lines(data.rstrip(b"\r").decode(errors="replace"))
        return OutputLine(self._slave, self._context, self._task, text)
