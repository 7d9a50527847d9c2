"""Reads a record, also one that ends in the middle of a line."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from imp_parallel_core import Error, Event, explained, printable

from ._record_lines import NotARecord, event_of, facts_of

_MAGIC = b"\x1f\x8b"


class RecordError(Error):
    """A file is no record, or can't be read."""


RecordError.__module__ = "imp_parallel_view"  # as users import it, and tracebacks show it


class RecordReader:
    """Iterates over the events of a record, once.

    Args:
        path: of the file; whether it is compressed is seen from its content.

    Attributes:
        facts: what the record says of the script and its machine: ``script``, ``folder``, ``host``,
            ``python``, ``core``.
        is_cut_off: whether it ends within a line, since its script was killed. Known at the end.
        unreadable: how many lines could not be read. Known at the end.

    Raises RecordError if the file is no record, OSError if it can't be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lines = self._read()
        self.is_cut_off = False
        self.unreadable = 0
        try:
            self.facts = facts_of(next(self._lines, ""))
        except NotARecord as problem:
            text = f"{printable(os.fspath(path))}: {problem}"
            raise RecordError(explained(text, "no-record")) from None

    def __iter__(self) -> Iterator[Event]:
        for line in self._lines:
            try:
                event = event_of(line)
            except (NotARecord, RecursionError):
                self.unreadable += 1
            else:
                if event is not None:
                    yield event

    def _read(self) -> Iterator[str]:
        with self._path.open("rb") as file:
            is_compressed = file.read(2) == _MAGIC
        with gzip.open(self._path) if is_compressed else self._path.open("rb") as lines:
            try:
                for line in lines:
                    if not line.endswith(b"\n"):
                        self.is_cut_off = True
                        return
                    yield line.decode("ascii", "replace")
            except (EOFError, zlib.error, gzip.BadGzipFile):
                self.is_cut_off = True
