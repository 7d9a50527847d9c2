"""A batch system's commands as they run, and programs that stand for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_HANGING = "#!/bin/sh\nkill -STOP $$\n"


class StandIns:
    """Has programs of a test's own stand for commands from then on, also in scripts.

    Args:
        folder: that of the test.
        patch: undoes it at the end.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder / "bin"
        self._patch = patch

    def put(self, name: str, text: str) -> None:
        """Have a program stand for a command.

        Args:
            name: of the command.
            text: of the program.
        """
        if not self._folder.exists():
            self._folder.mkdir()
            self._patch.setenv("PATH", str(self._folder), prepend=os.pathsep)
        (self._folder / name).write_text(text)
        (self._folder / name).chmod(0o755)

    def hang(self, name: str) -> None:
        """Have a command hang."""
        self.put(name, _HANGING)


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    """Have a program stand for a command where the test wants it."""
    return StandIns(tmp_path, monkeypatch)


def submissions_in(folder: Path, program: str) -> list[int]:
    """Return the pids of the processes in a folder that submit, or watch over what submits.

    Args:
        folder: where they work.
        program: the command that submits.
    """
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            is_there = (entry / "cwd").readlink() == folder
        except OSError:
            continue
        if is_there and (words[:1] == [program.encode()] or b"read -r line" in b" ".join(words)):
            found.append(int(entry.name))
    return found
