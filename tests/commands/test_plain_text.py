"""Markdown of explanations is shown readably in a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from imp_parallel_core._commands.explanations import FOLDER
from imp_parallel_core._commands.plain_text import plain_text
from imp_parallel_core._plugins.explanations import Explanation, read_explanations

ROOT = Path(__file__).parents[2]
TEXTS = [*FOLDER.glob("*.md"), *ROOT.glob("plugins/*/imp_parallel_*/explanations.md")]
EXPLANATIONS = [each for path in TEXTS for each in read_explanations(path.read_text())]


def test_a_paragraph_is_filled_to_the_width() -> None:
    assert plain_text("one two\nthree four five", 13) == "one two three\nfour five"


def test_words_of_code_stay_on_one_line() -> None:
    assert plain_text("say `ulimit -n 4096` now", 18) == "say\n`ulimit -n 4096`\nnow"


def test_items_of_a_list_are_indented_and_stay_together() -> None:
    text = plain_text("Two:\n\n- one and\n  a half\n- two\n\nThree.", 9)
    assert text == "Two:\n\n- one and\n  a half\n- two\n\nThree."


@pytest.mark.parametrize("code", ["    a = 1\n    b  =  2", "```python\na = 1\nb  =  2\n```"])
def test_code_is_indented_and_kept_as_it_is(code: str) -> None:
    text = plain_text(f"Say:\n\n{code}\n\nand go on.", 80)
    assert text.split() == ["Say:", "a", "=", "1", "b", "=", "2", "and", "go", "on."]
    assert "    a = 1\n" in text
    assert "    b  =  2\n" in text


def test_emphasis_becomes_quotation_marks_and_links_become_words() -> None:
    assert plain_text("*no route*: see `a*b*c`", 80) == '"no route": see `a*b*c`'
    assert plain_text("see [the guide](how-to/x.md)", 80) == 'see "the guide" in the documentation'
    assert plain_text("see [it](https://a.example/b)", 80) == "see it <https://a.example/b>"


@pytest.mark.parametrize("explanation", EXPLANATIONS, ids=lambda each: each.key)
def test_each_explanation_of_ours_fits_into_a_terminal(explanation: Explanation) -> None:
    text = plain_text(explanation.text, 80)
    assert "](" not in text
    assert "*" not in text.replace("$- == *i*", "")
    assert max(map(len, text.splitlines())) <= 80
    assert not [line for line in text.splitlines() if line != line.rstrip()]
