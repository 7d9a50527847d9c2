"""What the script prints while a block is drawn below: it appears above the block, as it is.

Writing costs the script no more than to a file: the text is kept, and whoever draws takes it, some
times a second. So a loop that prints a line for each of many results is not slowed down.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_LIMIT_CHARACTERS = 1 << 16
_LONGEST_LINE = 1 << 12  # of one that has not ended


class PrintedText:
    """The text that waits to be shown, of several streams in the order in which it was written."""

    def __init__(self, show_now: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._length = 0
        self._show_now = show_now
        self._process = os.getpid()
        self._is_ended = False
        self.last_line = ""
        """The beginning of a line whose end has not been written yet, such as a question."""

    def add(self, text: str) -> bool:
        """Keep text; show it at once if it is much. Return False if nobody would show it."""
        if self.is_over:
            return False
        with self._lock:
            if self._is_ended:
                return False
            self._pieces.append(text)
            self._length += len(text)
            is_full = self._length > _LIMIT_CHARACTERS
        if is_full:
            self._show_now()
        return True

    def take(self) -> str:
        """Return the whole lines that wait."""
        with self._lock:
            text = self.last_line + "".join(self._pieces)
            self._pieces.clear()
            self._length = 0
            lines, newline, rest = text.rpartition("\n")
            # what goes back to its beginning, such as another progress bar, is seen as it is now
            self.last_line = rest.rstrip("\r").rpartition("\r")[2][-_LONGEST_LINE:]
        return lines + newline

    def end(self) -> str:
        """Keep nothing more; return what still waits."""
        with self._lock:
            self._is_ended = True
            return "".join(self._pieces)

    @property
    def is_over(self) -> bool:
        """Whether nobody shows text: the block has ended, or this is a fork of the script."""
        return self._is_ended or os.getpid() != self._process

    def __bool__(self) -> bool:
        return bool(self._pieces)


class StreamAbove(io.TextIOBase):
    """Takes the place of ``sys.stdout`` or ``sys.stderr``.

    Handlers of logging and others may hold it for longer than the block is drawn, and so may a
    process that the script has forked: then all goes to the stream itself.

    Args:
        stream: what it takes the place of.
        text: where what is written goes.
    """

    def __init__(self, stream: TextIO, text: PrintedText) -> None:
        self._stream = stream
        self._text = text

    def write(self, text: str) -> int:
        """Keep the text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if not self._text.add(text):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing while the block is drawn: the text is shown soon in any case."""
        if self._text.is_over:
            self._stream.flush()

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return what the stream says itself."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return that of the stream."""
        return self._stream.fileno()

    def close(self) -> None:
        """Do nothing: the standard streams stay open."""

    @property
    def encoding(self) -> str:  # type: ignore[override]  # it is an attribute there
        """That of the stream."""
        return self._stream.encoding

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; not if it can't tell, as one of the script's own."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # (ValueError: it has been closed)
        return False


@contextmanager
def printed_above(text: PrintedText) -> Iterator[None]:
    """Lead what is printed and logged to the terminal into ``text``, as long as this lasts.

    Streams that go elsewhere, such as to a file, are left alone, and so are those of a class of the
    script's own, which may do more than write to the terminal. Handlers of logging that hold one
    of the streams are given the one that takes its place.
    """
    replaced: dict[str, tuple[TextIO, StreamAbove]] = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and is_terminal(stream):
            replaced[name] = (stream, StreamAbove(stream, text))
            setattr(sys, name, replaced[name][1])
    handlers = [
        (handler, stream)
        for handler in _handlers()
        for stream, above in replaced.values()
        if handler.stream is stream and handler.setStream(above) is not None
    ]
    try:
        yield
    finally:
        for handler, stream in handlers:
            if isinstance(handler.stream, StreamAbove):
                handler.setStream(stream)
        for name, (stream, above) in replaced.items():
            if getattr(sys, name) is above:  # else somebody else has replaced it since
                setattr(sys, name, stream)


def _handlers() -> list[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), logging.getLogger("imp_parallel")]
    return [
        handler
        for logger in loggers
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and handler is not logging.lastResort
    ]
