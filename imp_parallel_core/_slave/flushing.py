"""Writes what an item has printed out of the buffers of Python and of the C library.

That is done after each item, so that no item's output is written during the next one, or lost if
that one crashes. C's buffer is written at the end of each line, too, as Python's are, so that the
last lines before a crash are there. (The buffers of other libraries, as of Fortran's, can't be
reached.)
"""

from __future__ import annotations

import contextlib
import sys
from struct import calcsize

from .._light_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_IOLBF = 1  # <stdio.h> of glibc and of musl
_BASE, _NEXT = 4, 5  # where the pointers to a buffer are in glibc's FILE, in words
_WORDS_BYTES = 6 * calcsize("P")


def output_flusher() -> Callable[[], None]:
    """Return a function that writes what is in the buffers. It never raises an Exception."""
    try:
        flush_c, buffer = _c_output()
    except Exception:  # another Python, or another C library: then only Python's are written
        return _flush_python

    def flush() -> None:  # after each item, so it has no calls that can be spared
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except Exception:  # the task has closed or replaced one: its result counts all the same
            _flush_python()
        if buffer[_NEXT] != buffer[_BASE]:
            flush_c()

    return flush


def _flush_python() -> None:
    for name in ("stdout", "stderr"):
        with contextlib.suppress(Exception):
            getattr(sys, name).flush()


def _c_output() -> tuple[Callable[[], Any], memoryview[int]]:
    """Have C's standard output written line by line.

    Returns a function that writes what is in its buffer, and the words of its FILE. To ask the
    library how much is in the buffer would take longer than the rest of a small item.

    Raises OSError if these words don't tell that, and ImportError or OSError where the library
    can't be called.
    """
    from .c_library import Pointer, function, memory_at, variable

    names = "setvbuf", "fopen", "fputs", "fflush", "fclose"
    setvbuf, fopen, fputs, fflush, fclose = map(function, names)
    null = Pointer(fopen(b"/dev/null", b"w"))
    words = memory_at(null.value, _WORDS_BYTES).cast("P")
    counts = []
    for text in (b"", b"one", b"two"):
        fputs(text, null)
        counts.append(words[_NEXT] - words[_BASE])
    fclose(null)
    if counts != [0, 3, 6]:
        raise OSError("this C library has another FILE")
    stdout = Pointer(variable("stdout"))
    setvbuf(stdout, None, _IOLBF, 0)
    return lambda: fflush(stdout), memory_at(stdout.value, _WORDS_BYTES).cast("P")
