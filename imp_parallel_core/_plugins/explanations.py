"""Sections of documentation that explain errors and warnings, as plugins bring them, and the core.

They are written in Markdown, each below its key and its heading, which is what the library says:

    (no-slave-started)=
    ### no slave could be started

    The lines below it say why …

Other words that the section explains, too, may follow the heading at once, each on a line of its
own, which Markdown of Sphinx takes for a comment:

    % also said: nothing has started

So a page of the site can include the text, and ``imp-parallel explain no-slave-started`` prints it.
"""

from __future__ import annotations

import re
from typing import Any

from .._explained import KEY
from .._light_typing import NamedTuple
from .contract import shown

_KEY_LINE = re.compile(r"^\(([^()\n]*)\)=[ \t]*$", re.MULTILINE)
_HEADING = "### "
_ALSO = "% also said:"


class Explanation(NamedTuple):
    """One section.

    Attributes:
        key: what messages call it, and ``imp-parallel explain``.
        words: the words of a message that it explains.
        text: what it says, in Markdown.
        others: other words that it explains, of messages or of programs.
    """

    key: str
    words: str
    text: str
    others: tuple[str, ...] = ()

    @property
    def all_words(self) -> tuple[str, ...]:
        """All words that it explains."""
        return self.words, *self.others


def read_explanations(answer: Any) -> list[Explanation]:
    """Return the sections of a text, as ``imp_parallel_explanations`` has returned it.

    Raises TypeError if it is no text, and ValueError if the text is none of sections.
    """
    if not isinstance(answer, str):
        raise TypeError(f"the explanations are {shown(answer)}, and must be a text")
    before, *parts = _KEY_LINE.split(answer)
    if before.strip() or not parts:
        raise ValueError("the explanations must begin with the key of one, such as (my-error)=")
    return [_read(key, text) for key, text in zip(parts[::2], parts[1::2], strict=True)]


def _read(key: str, text: str) -> Explanation:
    if not re.fullmatch(KEY, key):
        raise ValueError(
            f"{key!r} can't be the key of an explanation: it must be of small letters and digits, "
            "in words with hyphens between them, and of two words at least"
        )
    heading, _, below = text.strip().partition("\n")
    if not heading.startswith(_HEADING):
        raise ValueError(f"the explanation {key} must have a heading: {_HEADING}words of the error")
    others: list[str] = []
    while below.startswith(_ALSO):
        line, _, below = below.partition("\n")
        others.append(line.removeprefix(_ALSO).strip())
    if not all(others):
        raise ValueError(f"the explanation {key} has a line {_ALSO!r} without words")
    if not below.strip():
        raise ValueError(f"the explanation {key} has no text below its heading")
    words = heading.removeprefix(_HEADING).strip()
    return Explanation(key, words, below.strip(), tuple(others))
