"""All that a plugin implements or calls is described in its documents, and used in a test."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

import imp_parallel_core
from imp_parallel_core import Error, testing
from imp_parallel_core._plugins import hookspecs

ROOT = Path(__file__).parents[2]
OF_PLUGINS = sorted((ROOT / "docs").glob("plugin*.md"))
OTHERS = [ROOT / "docs" / name for name in ("checking-plugins.md", "observers.md")]
PAGES = "".join(page.read_text() for page in OF_PLUGINS + OTHERS)

# What scripts use, and plugins need not know.
FOR_SCRIPTS = {
    *(
        "Attempt",
        "Context",
        "CurrentTask",
        "GPU",
        "Manager",
        "OutputLine",
        "SlaveInfo",
        "UnreadResultsWarning",
    ),
    *("__version__", "current_task"),
}


def is_for_plugins(name: str) -> bool:
    thing = getattr(imp_parallel_core, name)
    is_error = isinstance(thing, type) and issubclass(thing, Error)
    return name not in FOR_SCRIPTS and not is_error


HOOKS = [name for name in vars(hookspecs) if name.startswith("imp_parallel_")]
NAMES = sorted(
    {
        *filter(is_for_plugins, imp_parallel_core.__all__),
        *HOOKS,
        *filter(str.islower, testing.__all__),
    }
)


def members_of(kind: type) -> set[str]:
    """Return what a class lets others use: its own methods and attributes."""
    own = [base for base in kind.__mro__ if base.__module__.startswith("imp_parallel_core")]
    names = {name for base in own for name in (*vars(base), *base.__annotations__)}
    return {name for name in names if not name.startswith("_")}


MEMBERS = sorted(
    f"{name}.{member}"
    for name in NAMES
    if isinstance(thing := getattr(imp_parallel_core, name, None), type)
    for member in members_of(thing)
)


def is_named(word: str, text: str) -> bool:
    """Whether a text has a word in code."""
    code = re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL)
    return any(re.search(rf"(?<![\w.]){word}\b|\.{word}\b", part) for part in code)


@cache
def words_of_tests() -> set[str]:
    """Return all words that tests have."""
    tests = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/*.py")]
    texts = [path.read_text() for path in tests if path != Path(__file__)]
    return {word for text in texts for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("name", NAMES)
def test_each_name_for_plugins_is_described_and_tested(name: str) -> None:
    assert is_named(name, PAGES), f"say in docs/plugin*.md what {name} is for"
    assert name in words_of_tests(), f"no test uses {name}"


@pytest.mark.parametrize("name", MEMBERS)
def test_each_public_member_of_the_seam_is_described_and_tested(name: str) -> None:
    member = name.partition(".")[2]
    assert is_named(member, PAGES), f"say in docs/plugin*.md what {name} is for"
    assert member in words_of_tests(), f"no test uses {name}"


def test_the_documents_list_all_checks_of_the_conformance_kit_in_their_order() -> None:
    of_streams = [check.name for check in testing.stream_checks()]
    of_transports = [check.name for check in testing.transport_checks()]
    own = [name for name in of_transports if name not in of_streams]
    expected = [check.name for check in testing.launcher_checks()] + own + of_streams
    page = (ROOT / "docs" / "checking-plugins.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == expected
