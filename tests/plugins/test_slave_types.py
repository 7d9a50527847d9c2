"""A slave class by its name: found, or an error that says what to install, or what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from imp_parallel_core import Slave, hookimpl
from imp_parallel_core._plugins.found import DISABLE
from imp_parallel_core._plugins.slave_types import KNOWN_DISTRIBUTIONS, find_slave_type


class Mine(Slave):
    """A slave that the plugin of these tests brings."""


class Brings:
    """A plugin that brings a slave class."""

    @hookimpl
    def imp_parallel_slave_types(self) -> dict[str, type]:
        return {"Mine": Mine}


def test_a_slave_class_is_found_by_its_name(install: Any) -> None:
    install(good=Brings())
    assert find_slave_type("Mine") is Mine
    with pytest.raises(AttributeError, match="'Yours'"):
        find_slave_type("Yours")


def test_the_class_of_a_plugin_that_is_not_installed_is_answered_with_its_distribution(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN_DISTRIBUTIONS, "MissingSlave", "imp-parallel-missing")
    install(good=Brings())
    with pytest.raises(ImportError, match="pip install imp-parallel-missing"):
        find_slave_type("MissingSlave")


def test_the_class_of_a_broken_plugin_is_answered_with_what_is_wrong(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN_DISTRIBUTIONS, "BadSlave", "dist-bad")
    install(bad=ImportError("no such library"), good=Brings())
    with pytest.raises(ImportError, match=r"installed but broken: .*no such library"):
        find_slave_type("BadSlave")


def test_the_class_of_a_plugin_that_the_user_leaves_out_is_answered_with_that(
    install: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(DISABLE, "bad")
    monkeypatch.setitem(KNOWN_DISTRIBUTIONS, "BadSlave", "dist-bad")
    install(bad=ImportError("never loaded"), good=Brings())
    with pytest.raises(ImportError, match="dist-bad, which IMP_PARALLEL_DISABLE_PLUGINS leaves"):
        find_slave_type("BadSlave")
    with pytest.raises(AttributeError, match="WorseSlave"):
        find_slave_type("WorseSlave")
    assert "has no WorseSlave; IMP_PARALLEL_DISABLE_PLUGINS leaves out dist-bad" in caplog.text
