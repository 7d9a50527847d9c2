"""The record of a run, an observer."""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import platform
import socket
import stat
import sys
import threading
import weakref
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from imp_parallel_core import Event, RunBegan, RunEnded, __version__, hookimpl

from ._record_lines import header, is_header, lines_of

_FLUSH_S = 1.0
_LEVEL = 3  # of compression: higher ones cost the run more than they save
_MAGIC = b"\x1f\x8b"
_File = gzip.GzipFile | io.BufferedWriter


class Record:
    """Writes all that happens in a run to a file: ``Manager(plugins=[Record("run.jsonl")])``.

    Each line is an event, as JSON. ``imp-parallel report run.jsonl`` makes a page of it. The file
    is complete to the last second, also if the script is killed.

    Args:
        path: of the file; it is compressed if the name ends in ``.gz``. A record that is there is
            overwritten.

    A record whose disk is full ends there, which is told once; the run goes on.

    Raises FileExistsError if the file is no record, BlockingIOError if another run is writing it,
    and any other OSError if it can't be written.

    A record is of one Manager.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"Record({path!r}): it needs the path of a file, such as 'run.jsonl'")
        self._path = Path(path).absolute()
        self._is_compressed = self._path.name.endswith(".gz")
        self._raw = _opened(self._path)
        weakref.finalize(self, self._raw.close)
        self._file: _File | None = None
        self._lock = threading.Lock()
        self._problem: OSError | None = None
        self._is_ending = threading.Event()
        self._flusher = threading.Thread(
            target=self._flush_each_second, name="imp_parallel record", daemon=True
        )

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        """Write events. Called by the core, in a thread of its own."""
        if any(type(event) is RunBegan for event in events):
            self._begin()
        text = lines_of(events).encode("ascii")
        with self._lock:
            if self._file is not None and self._problem is None:
                self._attempt(lambda file: file.write(text))
        if self._problem is not None or any(type(event) is RunEnded for event in events):
            self._end()
        if self._problem is not None:
            raise OSError(f"{self._path} ends here: {self._problem.strerror or self._problem}")

    def _begin(self) -> None:
        if self._file is not None or self._is_ending.is_set():
            raise RuntimeError(f"{self._path} is the record of another Manager: give each its own")
        self._raw.truncate(0)
        file: _File
        if self._is_compressed:
            file = gzip.GzipFile("", "wb", _LEVEL, self._raw, mtime=0)
        else:
            file = io.BufferedWriter(self._raw, 1 << 18)
        facts = {
            "core": __version__,
            "python": platform.python_version(),
            "host": socket.gethostname(),
            "script": sys.argv[0] if sys.argv else "",
            "folder": str(Path.cwd()),
        }
        file.write(header(facts).encode("ascii"))
        with self._lock:
            self._file = file
            self._attempt(_flush)
        self._flusher.start()

    def _attempt(self, write: Callable[[_File], object]) -> None:
        """Write something, unless the disk is full, say; the next event tells that."""
        if self._file is not None:
            try:
                write(self._file)
            except OSError as problem:
                self._problem = problem

    def _end(self) -> None:
        self._is_ending.set()
        if self._flusher.is_alive():
            self._flusher.join()
        with self._lock:
            self._attempt(lambda file: file.close())
            self._file = None
            self._raw.close()

    def _flush_each_second(self) -> None:
        while self._problem is None and not self._is_ending.wait(_FLUSH_S):
            with self._lock:
                self._attempt(_flush)


def _flush(file: _File) -> None:
    if isinstance(file, gzip.GzipFile):
        file.flush(zlib.Z_SYNC_FLUSH)  # what has been written so far can be unpacked
    else:
        file.flush()


def _opened(path: Path) -> io.FileIO:
    """Open a file for writing that is a record, or that is not there yet."""
    raw = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
    try:
        if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            raise FileExistsError(f"{path} is no plain file: choose another name")
        try:
            fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"another run is writing {path}: give each its own file"
            ) from None
        except OSError:  # a file system without locks
            pass
        start = raw.read(1 << 16) or b""
        if start and not is_header(_first_line(start)):
            raise FileExistsError(
                f"{path} is no record, and is not overwritten: choose another name"
            )
        raw.seek(0)
    except BaseException:
        raw.close()
        raise
    return raw


def _first_line(start: bytes) -> str:
    if start.startswith(_MAGIC):
        try:
            start = zlib.decompressobj(wbits=31).decompress(start)
        except zlib.error:
            return ""
    return start.partition(b"\n")[0].decode("ascii", "replace")
