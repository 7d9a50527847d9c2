"""Scripts that run as processes of their own, as a person would start them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from job_user import JobUser


class Scripts:
    """Starts scripts.

    Args:
        environment: what a cluster's commands need.
        folder: where they run.
        prefix: what their command begins with, to have them run on another host.
    """

    def __init__(
        self, environment: Mapping[str, str], folder: Path, prefix: Sequence[str] = ()
    ) -> None:
        self._environment = environment
        self._folder = folder
        self._prefix = prefix
        self._started: list[subprocess.Popen[str]] = []

    def start(self, source: str, user: JobUser | None = None) -> subprocess.Popen[str]:
        """Start a script; as this process's user, or as another in that user's own folder."""
        folder = self._folder if user is None else user.folder
        path = folder / "script.py"
        path.write_text(textwrap.dedent(source))
        more = os.environ if user is None else user.environment()
        python = sys.executable if user is None else user.python
        process = subprocess.Popen(
            [*self._prefix, python, "-W", "error", str(path)],
            cwd=folder,
            env={**more, **self._environment},
            user=None if user is None else user.name,
            group=None if user is None else user.name,
            extra_groups=None if user is None else [],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill what still runs."""
        for process in self._started:
            process.kill()
            process.communicate()


def finish(process: subprocess.Popen[str], limit_s: float = 60.0) -> tuple[int, str, str]:
    """Wait for a script; return its exit code, output and errors."""
    out, err = process.communicate(timeout=limit_s)
    return process.returncode, out, err
