"""A script on a terminal of its own, and what a person would see there."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Sequence
from fcntl import ioctl
from struct import pack

import pyte


class Terminal:
    """Runs a command on a pseudo-terminal.

    Args:
        command: with its arguments.
        columns, lines: the terminal's size.
        stdout: where the standard output goes; by default to the terminal as well.
    """

    def __init__(
        self, command: Sequence[str], columns: int = 100, lines: int = 30, stdout: int | None = None
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=10_000, ratio=1.0)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = b""
        self._end, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, pack("HHHH", lines, columns, 0, 0))
        modes = termios.tcgetattr(theirs)
        modes[3] &= ~termios.ECHO  # what is typed would move the cursor
        termios.tcsetattr(theirs, termios.TCSANOW, modes)
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            select.select([self._end], [], [])
            try:
                data = os.read(self._end, 1 << 16)
            except OSError:  # the last process that had it open has ended
                return
            if not data:
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._end, text.encode())

    def lines(self) -> list[str]:
        """Return all lines, those above the screen as well."""
        with self._lock:
            above = [
                "".join(line[column].data for column in range(self._screen.columns))
                for line in self._screen.history.top
            ]
            shown = [*above, *self._screen.display]
        return [line.rstrip() for line in shown]

    @property
    def modes(self) -> list[object]:
        """How the terminal treats what is typed."""
        return termios.tcgetattr(self._end)

    def shows_cursor(self) -> bool:
        """Return whether the cursor can be seen."""
        with self._lock:
            return not self._screen.cursor.hidden

    def wait_for(self, is_there: Callable[[str], bool], limit_s: float = 40.0) -> str:
        """Return the text of the terminal as soon as something is there."""
        deadline = time.monotonic() + limit_s
        while not is_there(text := "\n".join(self.lines())):
            assert time.monotonic() < deadline, text
            time.sleep(0.02)
        return text

    def finish(self, limit_s: float = 50.0) -> str:
        """Wait for the end; return the text of the terminal."""
        self.process.wait(limit_s)
        self._reader.join(10.0)
        return "\n".join(self.lines()).rstrip()

    def end(self) -> None:
        """Kill what still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10.0)
        os.close(self._end)
