"""What the script prints while a block is drawn below: it appears above the block, as it is.

Writing costs the script no more than to a file: the text is kept, and whoever draws takes it, some
times a second. So a loop that prints a line for each of many results is not slowed down.
"""

from __future__ import annotations

import io
import logging
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
        self.last_line = ""
        """The beginning of a line whose end has not been written yet, such as a question."""

    def add(self, text: str) -> None:
        """Keep text; show it at once if it is much."""
        with self._lock:
            self._pieces.append(text)
            self._length += len(text)
            is_full = self._length > _LIMIT_CHARACTERS
        if is_full:
            self._show_now()

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

    def __bool__(self) -> bool:
        return bool(self._pieces)


class StreamAbove(io.TextIOBase):
    """Takes the place of ``sys.stdout`` or ``sys.stderr``.

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
        self._text.add(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: the text is shown soon in any case."""

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


@contextmanager
def printed_above(text: PrintedText) -> Iterator[None]:
    """Lead what is printed and logged to the terminal into ``text``, as long as this lasts.

    Streams that go elsewhere, such as to a file, are left alone. Handlers of logging that hold one
    of the streams are given the one that takes its place.
    """
    replaced: dict[str, tuple[TextIO, StreamAbove]] = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, StreamAbove) and stream.isatty():
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
