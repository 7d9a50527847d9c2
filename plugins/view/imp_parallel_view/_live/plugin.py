"""The observer that answers ``imp-parallel top``."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from imp_parallel_core import Event, RunBegan, RunEnded, hookimpl

from .._model import RunModel
from . import folder as folders
from .snapshot import snapshot

_SEND_S = 2.0  # for a caller to take the answer
_numbers = itertools.count()


class Live:
    """Lets ``imp-parallel top`` look at a run, in another terminal: ``Manager(plugins=[Live()])``.

    The script listens on a Unix socket of mode 0600, in a folder of mode 0700, and answers its own
    user's processes alone. No port is opened, and nothing can be changed that way.

    Args:
        folder: where the socket is; by default ``/tmp/imp-parallel-UID``. ``imp-parallel top
            --folder`` finds it elsewhere.

    Raises LiveError if the folder is not this user's alone, OSError if it can't be made.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._folder = folders.default_folder() if folder is None else Path(folder).absolute()
        folders.made(self._folder)
        self._lock = threading.Lock()
        self._model = RunModel()
        self._listener: socket.socket | None = None
        self._path: Path | None = None
        self._thread: threading.Thread | None = None

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        """Take note of events. Called by the core, in a thread of its own."""
        if any(type(event) is RunBegan for event in events):
            self._begin()
        with self._lock:
            self._model.tell(events)
        if any(type(event) is RunEnded for event in events):
            self._end()

    def _begin(self) -> None:
        if self._listener is not None:
            raise RuntimeError("a Live shows one run at a time: give each Manager its own")
        self._model = RunModel()
        name = f"{os.getpid()}-{next(_numbers)}{folders.SUFFIX}"
        self._path = folders.made(self._folder) / name
        unready = self._path.with_suffix(".new")  # a socket that refuses callers is taken for dead
        unready.unlink(missing_ok=True)  # of a process that had this number once
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(unready))
        unready.chmod(0o600)  # (nobody else can enter the folder meanwhile)
        self._listener.listen(8)
        unready.replace(self._path)
        atexit.register(self._remove)  # if the end is never told
        self._thread = threading.Thread(
            target=self._answer, args=[self._listener], name="imp_parallel live", daemon=True
        )
        self._thread.start()

    def _end(self) -> None:
        listener, self._listener = self._listener, None
        if listener is None or self._path is None or self._thread is None:
            return
        self._remove()
        atexit.unregister(self._remove)
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread
        self._thread.join(_SEND_S)
        listener.close()

    def _remove(self) -> None:
        """Remove the socket, unless this process is a fork of the script."""
        if self._path is not None and self._path.name.startswith(f"{os.getpid()}-"):
            self._path.unlink(missing_ok=True)

    def _answer(self, listener: socket.socket) -> None:
        facts = {
            "pid": os.getpid(),
            "script": sys.argv[0] if sys.argv else "",
            "folder": str(Path.cwd()),
            "host": socket.gethostname(),
        }
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:  # the run has ended
                return
            with caller, contextlib.suppress(OSError):
                caller.settimeout(_SEND_S)
                with self._lock:
                    answer = snapshot(self._model, facts, time.monotonic())
                caller.sendall(json.dumps(answer).encode("ascii"))
