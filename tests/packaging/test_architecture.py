"""docs/architecture.md describes the tree as it is."""

from __future__ import annotations

import ast
import re
from configparser import ConfigParser
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "imp_parallel_core"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DECISIONS = sorted((ROOT / "docs" / "decisions").iterdir())
NAMING_FILES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md", *DECISIONS]

CONTRACTS = ConfigParser()
CONTRACTS.read(ROOT / ".importlinter")


def section(heading: str) -> str:
    """Return what the page says below a heading."""
    (text,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def is_named(name: str, text: str) -> bool:
    """Tell whether a text names something in code quotes."""
    return f"`{name}`" in text


def rooms_of(package: Path) -> set[str]:
    """Return the names of the private sub-packages of a package."""
    return {init.parent.name for init in package.glob("_*/__init__.py")}


def described_rooms() -> list[str]:
    """Return the rooms of the core, in the order of their paragraphs."""
    return re.findall(r"^\*\*`(\w+)`\*\* ", section("The rooms"), re.MULTILINE)


def layers() -> dict[str, int]:
    """Return how deep each layer of the core is that the import contracts name."""
    rows = CONTRACTS["importlinter:contract:layers"]["layers"].strip().splitlines()
    return {
        name.strip().removeprefix("imp_parallel_core."): depth
        for depth, row in enumerate(rows)
        for name in row.split("|")
    }


def test_the_picture_is_that_of_the_managers_docstring_and_shows_all_rooms() -> None:
    (picture,) = re.findall(r"```text\n(.*?)```", section("The picture"), re.DOTALL)
    docstring = ast.get_docstring(ast.parse((CORE / "_api" / "manager.py").read_text())) or ""
    drawn = "\n".join(line for line in docstring.splitlines() if line.startswith("    "))
    assert dedent(drawn).strip() == picture.strip()
    assert set(re.findall(r"\b_\w+", picture)) == rooms_of(CORE)


def test_each_room_of_the_core_has_a_paragraph_in_the_order_of_the_layers() -> None:
    described = described_rooms()
    assert sorted(described) == sorted({"testing", *rooms_of(CORE)})
    depths = [layers()[room] for room in described]
    assert all(above <= below for above, below in pairwise(depths)), described


def test_each_module_at_the_top_of_the_core_is_described() -> None:
    rows = set(re.findall(r"^\| `(\w+\.py)` \|", section("The rooms"), re.MULTILINE))
    assert rows == {path.name for path in CORE.glob("*.py")} - {"__init__.py"}


def test_each_layer_is_a_room_or_a_module_that_is_described() -> None:
    described = {*described_rooms(), *(path.stem for path in CORE.glob("*.py"))}
    assert set(layers()) <= described


@pytest.mark.parametrize("plugin", sorted(ROOT.glob("plugins/*")), ids=lambda path: path.name)
def test_each_plugin_and_each_of_its_rooms_is_named(plugin: Path) -> None:
    text = section("The plugins")
    assert is_named(f"plugins/{plugin.name}", text)
    (package,) = plugin.glob("imp_parallel_*")
    for room in rooms_of(package):
        assert is_named(room, text), room


@pytest.mark.parametrize("document", NAMING_FILES, ids=lambda path: path.stem)
def test_each_file_that_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    starts = [ROOT, CORE, *ROOT.glob("plugins/*/imp_parallel_*")]
    for name in re.findall(r"`([\w./-]+\.py|\w+/[\w./-]+)`", text):
        is_placeholder = name.rpartition("/")[2].isupper()  # plugins/NAME
        assert is_placeholder or any((start / name).exists() for start in starts), name


@pytest.mark.parametrize("life", ["a task", "a slave"])
def test_a_life_has_ten_steps_each_of_which_names_a_file(life: str) -> None:
    steps = re.findall(r"^(\d+)\. (.*?)(?=^\d|\Z)", section(f"The life of {life}"), re.S | re.M)
    assert [int(number) for number, _ in steps] == list(range(1, 11))
    for number, text in steps:
        assert re.search(r"`_\w+/\w+\.py`", text), number


def test_each_import_contract_is_explained() -> None:
    rows = re.findall(r"^\| (.*?) \| ", section("What the import contracts mean"), re.M)
    heading, _, *explained = rows
    names = [CONTRACTS[part]["name"] for part in CONTRACTS.sections() if ":contract:" in part]
    assert (heading, explained) == ("contract", names)


def test_each_decision_is_listed_under_its_title_and_says_why_and_what_follows() -> None:
    listed = re.findall(r"^- \[(\d{4})\]\(decisions/(.*?)\): (.*)$", section("Decisions"), re.M)
    assert [(path.name[:4], path.name) for path in DECISIONS] == [row[:2] for row in listed]
    assert [int(number) for number, *_ in listed] == list(range(1, len(DECISIONS) + 1))
    for path, (number, _, title) in zip(DECISIONS, listed, strict=True):
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}: {title}\n")
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], path.name
