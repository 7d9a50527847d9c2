"""Launching slaves through a gateway, on a machine whose files are not the master's."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from imp_parallel_core import Bootstrap, CommandResult, LaunchState
from imp_parallel_core._launch.gateway_launch import launch_via


class NoRelay:
    addresses = ("there:1",)

    def close(self) -> None: ...


class Elsewhere:
    """A gateway to a machine whose only Python is at a path that a shell would take apart."""

    python = "/opt/the group's python/bin/python3"

    def home(self) -> str:
        return "/home/user"

    def make_private_folder(self, parent: str, prefix: str) -> str:
        return f"{parent}/{prefix}1"

    def relay(self, *args: object, **options: object) -> NoRelay:
        return NoRelay()

    def write_file(self, path: str, data: bytes) -> None: ...

    def remove_folder(self, path: str) -> None: ...

    def ship_modules(self, folder: str) -> Sequence[str]:
        return ()

    def find_program(self, name: str) -> str | None:
        return self.python if name == "python3" else None

    def run(self, argv: Sequence[str], **options: object) -> CommandResult:
        assert argv[0] == self.python
        return CommandResult(0, str(tuple(sys.version_info[:2])), "")


class Nothing:
    command = ("true",)

    def poll(self) -> Mapping[int, LaunchState]:
        return {}

    def cancel(self, grace_s: float) -> None: ...

    def log_tail(self, index: int) -> str:
        return ""


def test_the_path_of_the_python_there_is_quoted_and_not_looked_for_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[Bootstrap] = []

    def launch(bootstraps: Sequence[Bootstrap]) -> Nothing:
        found.extend(bootstraps)
        return Nothing()

    gateway: Any = Elsewhere()
    launch_via(gateway, [Bootstrap(0, sys.executable, "/here", None, [])], launch)
    asked: list[str] = []
    monkeypatch.setattr("os.path.exists", lambda path: asked.append(str(path)))
    command = found[0].command("program")
    assert "'/opt/the group'\"'\"'s python/bin/python3' \"$@\"" in command
    assert not asked
