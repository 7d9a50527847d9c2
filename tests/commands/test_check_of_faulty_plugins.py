"""The command imp-parallel check, of slaves whose plugin has a fault of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imp_parallel_core import Slave, hookimpl
from imp_parallel_core._commands.expression import installed_kinds
from imp_parallel_core._commands.main import main
from imp_parallel_core._plugins.registry import Plugins
from imp_parallel_core._plugins.slave_types import KNOWN_DISTRIBUTIONS


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


def test_each_class_of_our_plugins_is_known_with_the_distribution_that_brings_it() -> None:
    found = installed_kinds(Plugins())
    ours = {
        name: kind.plugin.label.partition(" ")[0]
        for name, kind in found.items()
        if kind.plugin.label.startswith("imp-parallel-")
    }
    assert {"SSHHost", "SlurmSlaveArray", "LocalSlaves"} <= ours.keys()
    assert ours == KNOWN_DISTRIBUTIONS


@pytest.mark.parametrize("name", sorted(KNOWN_DISTRIBUTIONS))
def test_the_class_of_a_plugin_that_is_not_installed_is_answered_with_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Plugins, "slave_types", lambda self, reserved: {})
    assert main(["check", f"{name}()"]) == 1
    said = capsys.readouterr().out
    assert f"pip install {KNOWN_DISTRIBUTIONS[name]}" in said
