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
from collections import deque
from collections.abc import Callable

from .._errors import LaunchError
from .._plugins.launch import open_to_read
from .._plugins.output_files import OutputFiles
from .live_folder import LiveFolder
from .output_lines import OutputLine, OutputLines

_logger = logging.getLogger("imp_parallel.output")

_FIRST_PAUSE_S = 0.05
_LAST_PAUSE_S = 1.0
_GROWTH = 1.5
_READ_BYTES = 1 << 18  # of one slave at a time
_BEHIND_BYTES = 1 << 24  # who is so far behind skips …
_SHOWN_BYTES = 1 << 20  # … all but so much
_STUCK_S = 2.0  # at the end: how long to wait for one line to be shown, …
_LAST_S = 30.0  # … and for all that is left
_NAMED = 5  # slaves whose output is not shown

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
        self._is_ending, self._has_ended = threading.Event(), threading.Event()
        self._gives_up = False
        self._shown_at = 0.0  # when a line was last shown
        self._thread: threading.Thread | None = None
        try:
            self._folder = LiveFolder(folder)
        except OSError as problem:
            raise LaunchError(
                f"the output of slaves can't be kept in {folder}: {problem.strerror}. Let the "
                "script work in a folder in which it may write, which slaves can reach."
            ) from problem
        self._outputs = OutputFiles(
            os.path.join(self._folder.path.replace("%", "%%"), "slave%d.output"), ""
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
        """Show what is left, as long as lines are shown, and remove the files. Bounded."""
        if os.getpid() != self._pid:  # a fork: the files are the parent's
            return
        self._is_ending.set()
        try:
            if self._thread is not None and self._thread is not threading.current_thread():
                self._await_rest()
        finally:
            self._folder.remove()
            self._outputs.close()

    def _await_rest(self) -> None:
        """Wait until all is shown, or it takes too long; say what is not shown."""
        began_at = now = time.monotonic()
        is_interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)  # the script's end is
        deadline = began_at + (_STUCK_S if is_interrupted else _LAST_S)
        try:
            # not by Thread.join: in Python 3.11, a KeyboardInterrupt there makes the thread seem to
            # have ended
            while not self._has_ended.is_set() and now < deadline:
                stuck_at = max(self._shown_at, began_at) + _STUCK_S
                if stuck_at <= now:
                    break
                self._has_ended.wait(min(stuck_at, deadline) - now)
                now = time.monotonic()
        finally:
            self._gives_up = True
            if not self._has_ended.is_set():
                self._tell_rest(time.monotonic() - began_at)

    def _tell_rest(self, waited_s: float) -> None:
        with self._lock:
            left = [(file.slave, file.left_bytes()) for file in self._files]
        left = [(slave, size) for slave, size in left if size]
        if not left:
            return
        named = [f"{size:,} bytes of slave {slave}" for slave, size in left[:_NAMED]]
        if len(left) > _NAMED:
            rest = sum(size for _, size in left[_NAMED:])
            named.append(f"{rest:,} bytes of {len(left) - _NAMED} other slaves")
        text = (
            "some output of slaves is not shown: about %s. It came faster than it was shown, and "
            "the Manager's close waited %.0f s for the rest. Manager(output='slave%%d.output') "
            "keeps all of it."
        )
        _logger.warning(text, ", ".join(named), waited_s)

    def _run(self) -> None:
        try:
            self._folder.remove_left()
            self._show_all()
        finally:
            self._has_ended.set()

    def _show_all(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._is_ending.wait(pause_s):
            has_news = self._show_news()
            pause_s = _FIRST_PAUSE_S if has_news else min(pause_s * _GROWTH, _LAST_PAUSE_S)
        while self._show_news():
            pass
        for file in self._files:
            file.take_rest()
            self._show_lines(file)

    def _show_news(self) -> bool:
        """Show what has come; return whether there was anything."""
        with self._lock:
            files = list(self._files)
        has_news = False
        for file in files:
            if self._show is not None and not self._gives_up:
                has_news |= file.take_news()
                self._show_lines(file)
        return has_news

    def _show_lines(self, file: _File) -> None:
        while file.lines and self._show is not None and not self._gives_up:
            try:
                self._show(file.lines[0])
            except BaseException:  # the user's, perhaps a SystemExit: the run goes on
                self._show = None
                _logger.exception("what shows the slaves' output failed, and is not called again")
            file.lines.popleft()
            self._shown_at = time.monotonic()


class _File:
    """The output file of one slave, as far as it has been read."""

    def __init__(self, slave: int, path: str) -> None:
        self.slave = slave
        self.lines: deque[OutputLine] = deque()
        """Those that have been read, and are to be shown."""
        self._reader = OutputLines(slave)
        self._path = path
        self._position = 0

    def take_news(self) -> bool:
        """Read lines that have come, of a bounded size; return whether anything has."""
        try:
            with open_to_read(self._path) as file:  # a network file system tells the true size
                behind = os.fstat(file.fileno()).st_size - self._position
                if behind <= 0:
                    return False
                if behind > _BEHIND_BYTES:
                    skipped = behind - _SHOWN_BYTES
                    self._position += skipped
                    self.lines.append(self._reader.left_out(skipped))
                data = os.pread(file.fileno(), _READ_BYTES, self._position)
        except OSError:
            return False  # it is not there yet, or can't be had now
        self._position += len(data)
        self.lines.extend(self._reader.feed(data))
        return True

    def take_rest(self) -> None:
        """Take what was printed last without an end of line."""
        self.lines.extend(self._reader.end())

    def left_bytes(self) -> int:
        """Return about how much of its output has not been shown."""
        lines = sum(len(line.text) + 1 for line in list(self.lines))
        try:
            return lines + max(os.stat(self._path).st_size - self._position, 0)
        except OSError:
            return lines


def _print(line: OutputLine) -> None:
    """Print a line, to wherever the script or the notebook prints now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
