"""A script of its own that makes slaves, and is killed in the middle of its tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from unittest import SkipTest

import cloudpickle

from ._check import wait_until
from ._launcher import Launcher
from ._processes import marked, stay

_BEGUN_S = 60.0
_RECONNECT_S = 3.0  # not all slaves can know that it is for ever that their master has gone
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from imp_parallel_core.testing._masters import run; run(sys.stdin.buffer)"
)


class KilledMaster:
    """A process with a Manager, whose slaves run tasks that go on for long.

    Raises SkipTest if what makes the slaves can't be pickled.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._folder = launcher.output_folder
        try:
            pickled = cloudpickle.dumps(launcher)
        except Exception as problem:
            raise SkipTest(
                "what makes the slaves can't be pickled, and this needs a script of its own: "
                f"{problem}"
            ) from problem
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as file:  # wait_for_count() says why
            file.write(json.dumps([entry or str(Path.cwd()) for entry in sys.path]).encode())
            file.write(b"\n" + pickled)

    @property
    def _errors(self) -> Path:
        return self._folder / "master.errors"

    def wait_for_count(self) -> int:
        """Wait until the script has added its slaves; return how many there are."""
        path = self._folder / "count"
        wait_until(lambda: path.exists() or self._process.poll() is not None, _BEGUN_S)
        assert path.exists(), (
            f"a script of its own could not add slaves: {self._errors.read_text()}"
        )
        return int(path.read_text())

    def kill(self) -> None:
        """Kill the script, as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> KilledMaster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


def run(file: BinaryIO) -> None:
    """Be the script."""
    launcher: Launcher = cloudpickle.load(file)
    with launcher.manager(change=marked(launcher)) as manager:
        manager.reconnect_timeout = _RECONNECT_S
        count = launcher.add_slaves(manager)
        context = manager.get_context()
        for number in range(count):
            context.add_task(stay(launcher.output_folder, number))
        new = launcher.output_folder / "count.new"
        new.write_text(str(count))
        new.rename(launcher.output_folder / "count")
        list(context.get_results_unordered())
