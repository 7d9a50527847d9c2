"""Each message that names a section has it, and each section is of words that the library says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imp_parallel_core._commands.explanations import find_explanations
from imp_parallel_core._explained import BEGINNING, KEY
from imp_parallel_core._plugins.registry import Plugins

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
FOUND = find_explanations(Plugins())
SECTIONS = {key: each.explanation for key, each in FOUND.items()}

# What no message of the library says, or names.
NO_WORDS_OF_OURS = {
    "memory-grows": "nothing is said: the system ends a script that holds too much",
    "module-not-found": "Python's own words",
    "dask-task-failed": "put together: its {kept_by} failed",
    "ray-actor-failed": "put together: its {kept_by} failed",
    "ray-no-room": "put together of what is free",
}
NAMED_BY_NO_MESSAGE = {
    "memory-grows": NO_WORDS_OF_OURS["memory-grows"],
    "dask-no-room": "why a slave is queued, which is shown in tables",
    "ray-no-room": "why a slave is queued, which is shown in tables",
}

# What looks like a key in modules that name keys.
NO_KEYS = re.compile(r"imp-.*|utf-8|direct-tcpip|nvidia-smi|rocm-smi|ssh-rsa|no-car-started")


def modules() -> list[str]:
    """Return the text of each module, with the pieces of split texts joined."""
    files = [
        *(ROOT / "imp_parallel_core").rglob("*.py"),
        *(ROOT / "plugins").glob("*/imp_parallel_*/**/*.py"),
    ]
    texts = (file.read_text(encoding="utf-8") for file in files)
    return [re.sub(r"[\"']\s*\n\s*f?[\"']", "", text) for text in texts]


MODULES = modules()
SOURCE = "\n".join(MODULES)


def keys_in_source() -> set[str]:
    """Return the keys that messages name: as literals, or in a line that is written out."""
    naming = [text for text in MODULES if re.search(r"\bexplained\b|explained_by|\.warn\(", text)]
    literals = {key for text in naming for key in re.findall(rf'"({KEY})"', text)}
    lines = re.findall(rf"{BEGINNING}((?: {KEY})+)", SOURCE)
    keys = literals | {key for line in lines for key in line.split()}
    return {key for key in keys if not NO_KEYS.fullmatch(key)}


KEYS = sorted(keys_in_source())


def test_the_keys_are_found_in_the_source() -> None:
    assert {"no-slave-started", "still-queued", "host-key-changed", "python-version"} <= set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_each_key_that_a_message_names_has_a_section(key: str) -> None:
    assert key in SECTIONS


@pytest.mark.parametrize("key", sorted(SECTIONS.keys() - NAMED_BY_NO_MESSAGE.keys()))
def test_each_section_is_named_by_a_message(key: str) -> None:
    assert key in KEYS


@pytest.mark.parametrize("key", sorted(SECTIONS.keys() - NO_WORDS_OF_OURS.keys()))
def test_the_words_of_a_heading_are_said_by_the_library(key: str) -> None:
    assert SECTIONS[key].words in SOURCE


# Words by which sections are found, and that are no words of ours, but of shells and systems.
OTHERS_WORDS = re.compile(
    r"(?i).*\bexit code -?\d+|command not found|segmentation fault|segfault|core dumped|"
    r"unable to initialize environment|unable to read qmaster name"
)


@pytest.mark.parametrize(
    "words", sorted({words for section in SECTIONS.values() for words in section.others})
)
def test_other_words_are_said_by_the_library_or_known_to_be_of_others(words: str) -> None:
    pieces = {
        "its runner was killed by": "was killed by",
        "its runner exited with code": "exited with code",
    }
    assert OTHERS_WORDS.fullmatch(words) or pieces.get(words, words) in SOURCE


@pytest.mark.parametrize("key", sorted(NO_WORDS_OF_OURS))
def test_what_is_said_to_be_no_words_of_ours_is_none(key: str) -> None:
    assert SECTIONS[key].words not in SOURCE


def test_the_page_includes_each_file_of_explanations_once() -> None:
    included = re.findall(r"^```\{include\} (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    paths = [(PAGE.parent / name).resolve() for name in included]
    assert sorted(paths) == sorted(
        [
            *(ROOT / "imp_parallel_core/_commands/explanations").glob("*.md"),
            *ROOT.glob("plugins/*/imp_parallel_*/explanations.md"),
        ]
    )


def test_no_two_sections_have_the_same_words() -> None:
    words = [explanation.words for explanation in SECTIONS.values()]
    assert len(set(words)) == len(words)
