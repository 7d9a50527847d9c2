"""Appends what slaves write to their output files, in a thread, so that nobody waits for a disk."""

from __future__ import annotations

import contextlib
import os
import queue
import threading

from imp_parallel_core import LaunchError, open_output

_LIMIT_BYTES = 64 << 20
_FLUSH_S = 0.5
_lock = threading.Lock()
_writer: _Writer | None = None


def append(path: str | None, data: bytes) -> None:
    """Append to an output file, soon; never waits. None is nowhere."""
    if path is not None:
        _current_writer().append(path, data)


def flush() -> None:
    """Wait until what was appended is in the files, but not for long."""
    if _writer is not None:
        _writer.flush()


class _Writer(threading.Thread):
    """Writes files that may be on a disk that is slow. What it can't keep up with is dropped."""

    def __init__(self) -> None:
        super().__init__(name="imp_parallel ssh output files", daemon=True)
        self.pid = os.getpid()
        self._queue: queue.SimpleQueue[tuple[str, bytes] | threading.Event] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._dropped: dict[str, int] = {}
        self._lock = threading.Lock()

    def append(self, path: str, data: bytes) -> None:
        with self._lock:
            if self._waiting_bytes > _LIMIT_BYTES:
                self._dropped[path] = self._dropped.get(path, 0) + len(data)
                return
            self._waiting_bytes += len(data)
            dropped = self._dropped.pop(path, 0)
        if dropped:
            text = f"\nimp_parallel: {dropped} bytes of output came too fast for this file\n"
            self._queue.put((path, text.encode()))
        self._queue.put((path, data))

    def flush(self) -> None:
        is_written = threading.Event()
        self._queue.put(is_written)
        is_written.wait(_FLUSH_S)

    def run(self) -> None:
        while True:
            thing = self._queue.get()
            if isinstance(thing, threading.Event):
                thing.set()
                continue
            path, data = thing
            # a full disk: the slaves' work is worth more
            with contextlib.suppress(OSError, LaunchError), open_output(path) as file:
                file.write(data)
            with self._lock:
                self._waiting_bytes -= len(data)


def _current_writer() -> _Writer:
    global _writer
    with _lock:
        if _writer is None or _writer.pid != os.getpid():  # a forked child has no such thread
            _writer = _Writer()
            _writer.start()
        return _writer
