"""The command imp-parallel check, of slaves whose plugin has a fault of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imp_parallel_core import Slave, hookimpl
from imp_parallel_core._commands.main import main


class Faulty(Slave):
    """Fails where it should say whether it can be launched."""

    def check(self) -> None:
        raise AttributeError("'str' object has no attribute 'find_program'")


class Plugin:
    """Brings it."""

    @hookimpl
    def imp_parallel_slave_types(self) -> Mapping[str, type]:
        return {"Faulty": Faulty}


def test_a_fault_of_a_plugin_is_told_in_a_step_and_not_as_a_traceback(
    install: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    install(faulty=Plugin())
    assert main(["check", "Faulty()"]) == 1
    said = capsys.readouterr()
    assert "AttributeError: 'str' object has no attribute 'find_program'" in said.out
    assert "Traceback" not in said.out + said.err
