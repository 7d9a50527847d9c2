"""The docstring of each room leads to every module in it, and to nothing that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "imp_parallel_core", *ROOT.glob("plugins/*/imp_parallel_*"))
ROOMS = sorted(init.parent for package in PACKAGES for init in package.glob("_*/__init__.py"))


def docstring_of(room: Path) -> str:
    """Return the docstring of a room."""
    return ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""


def is_module(path: Path) -> bool:
    """Tell whether a path without a suffix is that of a module or of a package."""
    return path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()


@pytest.fixture(params=ROOMS, ids=lambda room: f"{room.parent.name}.{room.name}")
def room(request: pytest.FixtureRequest) -> Path:
    """Return the folder of one room."""
    folder: Path = request.param
    return folder


def test_a_room_has_modules_and_a_docstring_and_no_code_in_its_init(room: Path) -> None:
    assert docstring_of(room)
    assert len(ast.parse((room / "__init__.py").read_text()).body) == 1
    assert list(room.glob("[!_]*.py"))


def test_each_module_is_named_in_the_docstring_of_its_room(room: Path) -> None:
    named = set(re.findall(r":mod:`\.(\w+)`", docstring_of(room)))
    modules = {path.stem for path in room.glob("*.py")} - {"__init__"}
    unnamed = modules - named
    assert not unnamed, f"say in {room / '__init__.py'} what these are for: {sorted(unnamed)}"


def test_each_module_that_a_rooms_docstring_names_exists(room: Path) -> None:
    for dots, name in re.findall(r":mod:`(\.+)([\w.]*)`", docstring_of(room)):
        start = room if len(dots) == 1 else room.parents[len(dots) - 2]
        assert is_module(start.joinpath(*name.split("."))), f"{dots}{name}"
