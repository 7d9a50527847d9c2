"""What slaves print, shown by the script as it comes: ``Manager(output="-")``, or a function.

Slaves write to files as ever, here in a private folder, and a thread of the master's reads these.
So a slave never waits for the script, and launchers need not know of this. Output from beyond a
gateway comes when its launch fetches that, at the end.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from .._errors import LaunchError
from .._plugins.launch import open_to_read
from .._plugins.output_files import OutputFiles
from ..private_folders import make_private_folder, remove_private_folder
from .output_lines import OutputLine, OutputLines

_logger = logging.getLogger("imp_parallel.output")

_PREFIX = ".imp_parallel-output-"
_FIRST_PAUSE_S = 0.05
_LAST_PAUSE_S = 1.0
_GROWTH = 1.5
_READ_BYTES = 1 << 18  # of one slave at a time
_BEHIND_BYTES = 1 << 24  # who is so far behind skips …
_SHOWN_BYTES = 1 << 20  # … all but so much
_LAST_S = 2.0  # for what is left at the end

Show = Callable[[OutputLine], object]


class LiveOutput:
    """The output files of one Manager, and the thread that reads them.

    Args:
        output: the function that is given each line; ``"-"`` prints the lines.
        folder: where to make the private folder of the files.

    Raises LaunchError.
    """

    def __init__(self, output: str | Show, folder: str) -> None:
        self._show: Show | None = _print if isinstance(output, str) else output
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._files: list[_File] = []
        self._is_ending = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._folder = make_private_folder(folder, _PREFIX)
        except OSError as problem:
            raise LaunchError(
                f"the output of slaves can't be kept in {folder}: {problem.strerror}. Let the "
                "script work in a folder in which it may write, which slaves can reach."
            ) from problem
        self._outputs = OutputFiles(
            os.path.join(self._folder.replace("%", "%%"), "slave%d.output"), ""
        )

    def make(self, slave: int) -> str | None:
        """Make the file of a slave; return its path. What comes there is read from now on."""
        path = self._outputs.make(slave)
        if path is not None:
            self._watch(slave, path)
        return path

    def _watch(self, slave: int, path: str) -> None:
        with self._lock:
            self._files.append(_File(slave, path))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="imp_parallel output", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Show what is left, for some seconds at most, and remove the files."""
        if os.getpid() != self._pid:  # a fork: the files are the parent's
            return
        self._is_ending.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_LAST_S + 0.5)
        remove_private_folder(self._folder, _PREFIX)
        self._outputs.close()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._is_ending.wait(pause_s):
            has_news = self._show_news()
            pause_s = _FIRST_PAUSE_S if has_news else min(pause_s * _GROWTH, _LAST_PAUSE_S)
        deadline = time.monotonic() + _LAST_S
        while self._show_news() and time.monotonic() < deadline:
            pass
        for file in self._files:
            for line in file.lines.end():
                self._hand_over(line)

    def _show_news(self) -> bool:
        """Show what has come; return whether there was anything."""
        with self._lock:
            files = list(self._files)
        has_news = False
        for file in files:
            lines = file.news()
            has_news |= lines is not None
            for line in lines or ():
                self._hand_over(line)
        return has_news

    def _hand_over(self, line: OutputLine) -> None:
        if self._show is None:
            return
        try:
            self._show(line)
        except Exception:  # the user's: the run goes on
            self._show = None
            _logger.exception("what shows the slaves' output failed, and is not called again")


class _File:
    """The output file of one slave, as far as it has been read."""

    def __init__(self, slave: int, path: str) -> None:
        self.lines = OutputLines(slave)
        self._path = path
        self._position = 0

    def news(self) -> list[OutputLine] | None:
        """Return the lines that have come, of a bounded size; None if nothing has."""
        try:
            with open_to_read(self._path) as file:  # a network file system tells the true size
                behind = os.fstat(file.fileno()).st_size - self._position
                found = []
                if behind <= 0:
                    return None
                if behind > _BEHIND_BYTES:
                    skipped = behind - _SHOWN_BYTES
                    self._position += skipped
                    found.append(self.lines.left_out(skipped))
                data = os.pread(file.fileno(), _READ_BYTES, self._position)
        except OSError:
            return None  # it is not there yet, or can't be had now
        self._position += len(data)
        return [*found, *self.lines.feed(data)]


def _print(line: OutputLine) -> None:
    """Print a line, to wherever the script or the notebook prints now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
