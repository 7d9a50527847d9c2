"""Scripts that run as processes of their own, as a person would start them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self


class Scripts:
    """Starts scripts; a context manager, which ends those that still run.

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

    def start(self, source: str) -> subprocess.Popen[str]:
        """Start a script."""
        path = self._folder / "script.py"
        path.write_text(textwrap.dedent(source))
        process = subprocess.Popen(
            [*self._prefix, sys.executable, "-W", "error", str(path)],
            cwd=self._folder,
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        for process in self._started:
            process.kill()
            process.communicate()


def finish(process: subprocess.Popen[str], limit_s: float = 60.0) -> tuple[int, str, str]:
    """Wait for a script; return its exit code, output and errors."""
    out, err = process.communicate(timeout=limit_s)
    return process.returncode, out, err
