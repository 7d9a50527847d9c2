"""A way to a host that is the standard input and output of a command (ProxyCommand)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile

_TAIL_BYTES = 2000
_TERMINATED_S = 2.0


class ProxyCommand:
    """A command that runs, and the socket that is its standard input and output.

    Args:
        line: a command line, for a shell.

    Raises OSError if there is no shell.
    """

    def __init__(self, line: str) -> None:
        self.line = line
        self.socket, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the command
        with theirs:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {line}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is for the script alone
            )

    def ending(self, wait_s: float = 0.0) -> str:
        """Return how it ended, and the last it said; "" if it still runs."""
        try:
            code = self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _TAIL_BYTES))
        said = self._errors.read().decode(errors="replace").strip()
        return f"exit code {code}" + (f": {said}" if said else "")

    def end(self) -> None:
        """End it, with what it started; may be called twice."""
        self.socket.close()
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(_TERMINATED_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
        self._errors.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass
