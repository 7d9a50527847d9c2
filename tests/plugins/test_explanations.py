"""What a plugin brings to explain its errors is checked where it is read."""

from __future__ import annotations

from typing import Any

import pytest

from imp_parallel_core._plugins.explanations import Explanation, read_explanations

GOOD = """
(wet-feet)=
### it rains

Take (a) pair of boots:

    boots --on

(The shop has them.)

(no-sun)=

### no sun
Wait.
"""


def test_sections_are_read_with_their_keys_and_words() -> None:
    feet, sun = read_explanations(GOOD)
    assert (feet.key, feet.words) == ("wet-feet", "it rains")
    assert feet.text.startswith("Take (a) pair")
    assert feet.text.endswith("(The shop has them.)")
    assert sun == Explanation("no-sun", "no sun", "Wait.")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("", "must begin with the key"),
        ("# Errors\n" + GOOD, "must begin with the key"),
        ("### it rains\n\nTake boots.", "must begin with the key"),
        ("(rain)=\n### it rains\n\nTake boots.", "'rain' can't be the key"),
        ("(Wet-Feet)=\n### it rains\n\nTake boots.", "'Wet-Feet' can't be the key"),
        ("(wet-feet)=\nTake boots.", "wet-feet must have a heading"),
        ("(wet-feet)=\n### it rains\n% also said:\n\nTake boots.", "line '% also said:' without"),
        ("(wet-feet)=\n### it rains\n% also said: drops", "wet-feet has no text"),
        ("(wet-feet)=\n### it rains\n(no-sun)=\n### no sun\nWait.", "wet-feet has no text"),
    ],
)
def test_what_is_no_text_of_sections_is_refused_with_the_reason(bad: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_explanations(bad)


@pytest.mark.parametrize("bad", [None, 3, b"bytes", {"wet-feet": "Take boots."}])
def test_what_is_no_text_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match="must be a text"):
        read_explanations(bad)
