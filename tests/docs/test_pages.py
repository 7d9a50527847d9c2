"""The pages of the site: every script in them runs and prints what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOT_RUN = re.compile(r"^<!-- not run: .+ -->$")
MARK = "\x1e"  # printed behind each block, so that its output can be told from the next one's
CACHES = ("MPLCONFIGDIR", "XDG_CACHE_HOME")  # where matplotlib, and what it runs, keep things


def blocks_of(page: str) -> list[tuple[str, str | None]]:
    """Return the blocks of Python that are to be run, each with the output that follows it."""
    blocks: list[tuple[str, str | None]] = []
    parts = re.split(r"^```(python|text)?\n", page, flags=re.MULTILINE)
    # text, language, block, text, (None, text)…: a fence that ends a block has no language
    for at in range(1, len(parts) - 1, 2):
        language, block, before = parts[at], parts[at + 1], parts[at - 1].strip()
        if language == "python" and not NOT_RUN.match(before.rpartition("\n")[2]):
            blocks.append((block, None))
        elif language == "text" and blocks and not before:
            blocks[-1] = (blocks[-1][0], block)
    return blocks


WITH_SCRIPTS = ("index.md", "tutorial.md", "observers.md", "plugin-commands.md")
PAGES = [*(DOCS / name for name in WITH_SCRIPTS), *sorted((DOCS / "how-to").glob("*.md"))]
SCRIPTS = {
    str(path.relative_to(DOCS)): blocks
    for path in PAGES
    if (blocks := blocks_of(path.read_text(encoding="utf-8")))
}


PART = re.compile(
    r"^<!-- not run: a part of (\S+) -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
PARTS = [
    (str(page.relative_to(DOCS)), source, part)
    for page in PAGES
    for source, part in PART.findall(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("page", "source", "part"), PARTS, ids=lambda shown: shown.split("\n")[0])
def test_a_part_of_an_example_is_as_the_example_has_it(page: str, source: str, part: str) -> None:
    whole = (DOCS.parent / source).read_text(encoding="utf-8")
    assert "".join(part.split()) in "".join(whole.split()), page  # lines may be broken elsewhere


@pytest.mark.parametrize("page", SCRIPTS)
def test_the_scripts_of_a_page_print_what_the_page_shows(page: str, tmp_path: Path) -> None:
    blocks = SCRIPTS[page]
    folder = tmp_path / "settings of matplotlib"
    script = tmp_path / "script.py"
    script.write_text("".join(f"{block}\nprint({MARK!r}, end='')\n" for block, _ in blocks))
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=55,
        # matplotlib looks for fonts, by fc-list, which keeps a cache
        env={**os.environ, "MPLBACKEND": "agg", **dict.fromkeys(CACHES, str(folder))},
    )
    assert done.returncode == 0, done.stderr
    outputs = done.stdout.split(MARK)[:-1]
    assert [out for (_, out), out in zip(blocks, outputs, strict=True)] == [
        shown or "" for _, shown in blocks
    ]
