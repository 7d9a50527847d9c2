"""Sphinx makes the site without a warning, and the site describes all public names."""

from __future__ import annotations

import html
import re
import zlib
from pathlib import Path

import pytest

from tests.api.test_public_names import FOR_PLUGINS, PUBLIC

ROOT = Path(__file__).parents[2]
NAMES = {**PUBLIC, **FOR_PLUGINS}
COMPAT = "imp_parallel_core.compat"  # other names of the same classes, in a table


@pytest.fixture(scope="module")
def described(site: Path) -> frozenset[str]:
    """Return the full names that the reference describes, from the site's inventory."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(packed).decode("utf-8").splitlines()
    return frozenset(line.split()[0] for line in lines if line.split()[1].startswith("py:"))


def words_of(page: Path) -> str:
    """Return what a page of the site says."""
    text = re.sub(r"<script.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return html.unescape(re.sub(r"<[^>]+>", "", text))


@pytest.mark.timeout(300)
def test_the_reference_describes_each_public_name(described: frozenset[str]) -> None:
    names = {f"{module}.{name}" for module in NAMES.keys() - {COMPAT} for name in NAMES[module]}
    assert sorted(names - described) == []


@pytest.mark.timeout(300)
def test_the_reference_names_what_scripts_for_newer_versions_of_imp_parallel_use(
    site: Path,
) -> None:
    words = words_of(site / "reference" / "api.html")
    table = words[words.index(f"in {COMPAT}") :]
    assert [name for name in NAMES[COMPAT] if not re.search(rf"\b{name}\b", table)] == []


@pytest.mark.timeout(300)
def test_the_reference_says_of_each_attribute_what_it_is(site: Path) -> None:
    for page in sorted((site / "reference").glob("*.html")):
        words = words_of(page)
        assert "Alias for field number" not in words, page.name
        assert "\nType:\n" not in words, page.name  # a first line that was taken for a type
        assert "(*args, **kwargs)¶" not in words, page.name


@pytest.mark.timeout(300)
def test_the_search_finds_pages_by_words_that_people_use(site: Path) -> None:
    head = (site / "how-to" / "stop-early.html").read_text(encoding="utf-8")
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert re.search(r'<meta content="[^"]*\bwalltime\b[^"]*" name="keywords"', head)
    assert '"walltim"' in index  # the stem


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", ["index.html", "how-to/watch-a-run.html"])
def test_a_picture_can_be_opened_by_itself(site: Path, page: str) -> None:
    text = (site / page).read_text(encoding="utf-8")
    pictures = re.findall(r'<img alt="[^"]*" src="([^"]*_images/[^"]*)"', text)
    opened = re.findall(r'<a class="[^"]*" href="([^"]*)"><img ', text)
    assert pictures
    assert opened == pictures
    assert [name for name in opened if not (site / page).parent.joinpath(name).is_file()] == []


@pytest.mark.parametrize("page", ["how-to", "reference", "explanation"])
def test_an_overview_has_a_link_to_each_of_its_pages(page: str) -> None:
    text = (ROOT / "docs" / page / "index.md").read_text(encoding="utf-8")
    prose, tree = text.split("```{toctree}\n:hidden:\n")
    pages = tree.split("```")[0].split()
    assert pages
    assert [name for name in pages if f"]({name}.md)" not in prose] == []


@pytest.mark.parametrize("plugin", sorted(path.name for path in (ROOT / "plugins").iterdir()))
def test_the_readme_of_each_plugin_is_a_page(plugin: str) -> None:
    page = (ROOT / "docs" / "reference" / "plugins" / f"{plugin}.md").read_text(encoding="utf-8")
    assert f"plugins/{plugin}/README.md" in page
