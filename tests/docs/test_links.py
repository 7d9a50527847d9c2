"""Every link from one document of the repository to another leads somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = {"node_modules", "build", "dist"}

FENCED = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1`*\s*$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
INCLUDED = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def documents() -> list[Path]:
    """Return the Markdown files of the repository, without those that tools have made in it."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(
        path
        for path in found
        if not NOT_OURS & set(path.parts) and not any(part[0] == "." for part in path.parts)
    )


def links_of(text: str) -> list[str]:
    """Return the targets of links in a document that lead to files of the repository."""
    prose = CODE.sub("``", FENCED.sub("", text))
    return [target for target in LINK.findall(prose) if not ELSEWHERE.match(target)]


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub and the site give to a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


@cache
def anchors_in(path: Path) -> frozenset[str]:
    """Return the anchors of a document's headings."""
    text = path.read_text(encoding="utf-8")
    anchors = frozenset(map(anchor_of, HEADING.findall(FENCED.sub("", text))))
    return anchors.union(*(anchors_in(path.parent / name) for name in INCLUDED.findall(text)))


def problem_with(document: Path, target: str) -> str:
    """Return what is wrong with a link, or ``""``."""
    name, _, anchor = target.partition("#")
    path = (ROOT / document).parent / unquote(name) if name else ROOT / document
    if not path.exists():
        return f"{target}: there is no such file"
    if ROOT not in path.resolve().parents and path.resolve() != ROOT:
        return f"{target}: this is outside of the repository"
    if anchor and anchor not in anchors_in(path):
        return f"{target}: there is no such heading"
    return ""


DOCUMENTS = documents()


def test_the_documents_are_found() -> None:
    names = {str(path) for path in DOCUMENTS}
    assert {"README.md", "docs/tutorial.md", "plugins/ssh/README.md"} <= names


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_each_link_of_a_document_leads_to_a_file_and_a_heading(document: Path) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert [wrong for target in links_of(text) if (wrong := problem_with(document, target))] == []


@pytest.mark.parametrize(
    "target", ["no_such_page.md", "README.md#no-such-heading", "#no-such-heading", "../outside.md"]
)
def test_a_link_that_leads_nowhere_is_noticed(target: str) -> None:
    assert links_of(f"see [there]({target})") == [target]
    assert problem_with(Path("README.md"), target)


def test_code_and_other_sites_are_no_links() -> None:
    text = "```python\nx = [1](2)\n```\n`[a](b)` and [a site](https://example.org/#x)"
    assert links_of(text) == []
