"""The README of each distribution says how to install it from a clone, with all that it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from .conftest import PLUGINS, ROOT

LINE = re.compile(r"^    (pip install \..*)$", re.MULTILINE)


def needs_of(plugin: Path) -> set[str]:
    """Return the names of the plugins that a plugin depends on, and its own."""
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    words = re.findall(r"imp-parallel-(\w+)", " ".join(project["dependencies"]))
    needs = {plugin.name}
    for name in set(words) - {"core"}:
        needs |= needs_of(plugin.parent / name)
    return needs


def line_for(plugin: Path) -> str:
    """Return the command that installs a plugin behind those that it depends on."""
    needs = sorted(needs_of(plugin), key=lambda name: (len(needs_of(plugin.parent / name)), name))
    return " ".join(["pip install .", *(f"./plugins/{name}" for name in needs)])


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_readme_installs_its_plugin_from_a_clone_with_all_that_the_plugin_needs(
    plugin: Path,
) -> None:
    assert LINE.findall((plugin / "README.md").read_text()) == [line_for(plugin)]


def test_the_first_readme_shows_such_a_line() -> None:
    assert f"`{line_for(ROOT / 'plugins/slurm')}`" in (ROOT / "README.md").read_text()
