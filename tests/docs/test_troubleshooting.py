"""The troubleshooting page is headed by the words that the library really says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
NO_WORDS_OF_OURS = {"Memory grows while results are read"}


def source() -> str:
    """Return the text of all modules, with the pieces of split texts joined."""
    files = [
        *(ROOT / "imp_parallel_core").rglob("*.py"),
        *(ROOT / "plugins").glob("*/imp_parallel_*/**/*.py"),
    ]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return re.sub(r"[\"']\s*\n\s*f?[\"']", "", text)


SOURCE = source()


@pytest.mark.parametrize("words", sorted(set(HEADINGS) - NO_WORDS_OF_OURS))
def test_the_words_of_a_heading_are_said_by_the_library(words: str) -> None:
    assert words in SOURCE
