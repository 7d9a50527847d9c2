"""The command imp-parallel check in a process of its own, watched while something happens."""

from __future__ import annotations

import subprocess
import threading
from typing import IO

from tests.support.waiting import wait_until


class WatchedCheck:
    """A check that a person sees line by line.

    Args:
        process: runs it, such as a script of :func:`tests.support.checking.script_of_check`; its
            output and its errors go to pipes.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        self._lines.extend(stream)

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    def wait_for(self, *words: str, limit_s: float = 60.0) -> None:
        """Wait until it has said all these words."""
        wait_until(lambda: all(each in self.text for each in words), limit_s, f"{words}")

    def finish(self, limit_s: float = 120.0, *, last_words: str = "") -> int:
        """Wait for its end; return its exit code.

        Args:
            limit_s: for how long to wait.
            last_words: what it must have written to standard error at its end; by default nothing.
        """
        code = self._process.wait(limit_s)
        self._reader.join(limit_s)
        assert self._process.stderr is not None
        said = self._process.stderr.read()
        assert said.startswith(last_words), f"{said}\n{self.text}"
        assert bool(said) == bool(last_words), f"{said}\n{self.text}"
        return code

    def found(self, step: str) -> str:
        """Return what comes from a step that has failed to the end."""
        assert "It does not work: " in self.text, self.text
        _, failed, found = self.text.partition(f"  FAILED   {step}")
        assert failed, self.text
        return found
