"""Markdown as plain text that is easily read in a terminal. Pure.

It knows what explanations are written in: paragraphs, lists, blocks of code, links and emphasis.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator

_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_ADDRESS = re.compile(r"https?://")
_CODE = re.compile(r"`[^`]+`")
_EMPHASIS = re.compile(r"(?<![*\w])\*{1,2}(?!\s)([^*]+?)(?<!\s)\*{1,2}(?![*\w])")
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_FENCE = re.compile(r"`{3,}")
_KEPT = "\N{NO-BREAK SPACE}"  # stands for a space at which no line is to be broken
_CODE_INDENT = "    "


def plain_text(markdown: str, width: int) -> str:
    """Return a text in Markdown as plain text.

    Args:
        markdown: the text.
        width: the length of lines; a line of code, or a long word, may be longer.
    """
    blocks: list[_Block] = []
    for block in _blocks(markdown):
        if blocks and not (block.is_item and blocks[-1].is_item):
            blocks.append(_Block(""))
        blocks.append(block)
    return "\n".join(_filled(block, width) for block in blocks)


class _Block:
    """A paragraph, an item of a list, or a block of code."""

    def __init__(self, text: str, *, is_item: bool = False, is_code: bool = False) -> None:
        self.text = text
        self.is_item = is_item
        self.is_code = is_code


def _blocks(markdown: str) -> Iterator[_Block]:
    lines = iter([*markdown.splitlines(), ""])
    begun: list[str] = []
    for line in lines:
        stripped = line.strip()
        fence = _FENCE.match(stripped)
        is_item = bool(_ITEM.match(stripped))
        if begun and (not stripped or fence or is_item):
            yield _Block(" ".join(begun), is_item=bool(_ITEM.match(begun[0])))
            begun = []
        if fence:
            code = itertools.takewhile(lambda each: not _FENCE.match(each.strip()), lines)
            yield _Block(textwrap.dedent("\n".join(code)), is_code=True)
        elif not begun and line.startswith(_CODE_INDENT) and stripped and not is_item:
            yield _Block(line[len(_CODE_INDENT) :], is_code=True)
        elif stripped:
            begun.append(stripped)


def _filled(block: _Block, width: int) -> str:
    if block.is_code:
        return textwrap.indent(block.text, _CODE_INDENT)
    marker = _ITEM.match(block.text)
    filled = textwrap.fill(
        _without_marks(block.text),
        width,
        subsequent_indent=" " * len(marker[0]) if marker else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace(_KEPT, " ")


def _without_marks(text: str) -> str:
    """Return a paragraph without links and emphasis; code is kept together."""
    text = _LINK.sub(_without_link, text)
    parts = re.split(f"({_CODE.pattern})", text)
    parts[::2] = [_EMPHASIS.sub(r'"\1"', part) for part in parts[::2]]
    parts[1::2] = [part.replace(" ", _KEPT) for part in parts[1::2]]
    return "".join(parts)


def _without_link(match: re.Match[str]) -> str:
    words, target = match.groups()
    return f"{words} <{target}>" if _ADDRESS.match(target) else f'"{words}" in the documentation'
