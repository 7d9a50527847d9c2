"""Sphinx makes the site without a warning, and the site describes all public names."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.api.test_public_names import FOR_PLUGINS, PUBLIC

ROOT = Path(__file__).parents[2]
NAMES = {**PUBLIC, **FOR_PLUGINS}
COMPAT = "imp_parallel_core.compat"  # other names of the same classes, in a table


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the site, which is made once."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), str(ROOT / "docs"), str(folder / "site")],
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


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


@pytest.mark.timeout(120)
def test_the_reference_describes_each_public_name(described: frozenset[str]) -> None:
    names = {f"{module}.{name}" for module in NAMES.keys() - {COMPAT} for name in NAMES[module]}
    assert sorted(names - described) == []


@pytest.mark.timeout(120)
def test_the_reference_names_what_scripts_for_newer_versions_of_imp_parallel_use(
    site: Path,
) -> None:
    words = words_of(site / "reference" / "api.html")
    table = words[words.index(f"in {COMPAT}") :]
    assert [name for name in NAMES[COMPAT] if not re.search(rf"\b{name}\b", table)] == []


@pytest.mark.timeout(120)
def test_the_reference_says_of_each_attribute_what_it_is(site: Path) -> None:
    for page in sorted((site / "reference").glob("*.html")):
        words = words_of(page)
        assert "Alias for field number" not in words, page.name
        assert "\nType:\n" not in words, page.name  # a first line that was taken for a type
        assert "(*args, **kwargs)¶" not in words, page.name


@pytest.mark.parametrize("plugin", sorted(path.name for path in (ROOT / "plugins").iterdir()))
def test_the_readme_of_each_plugin_is_a_page(plugin: str) -> None:
    page = (ROOT / "docs" / "reference" / "plugins" / f"{plugin}.md").read_text(encoding="utf-8")
    assert f"plugins/{plugin}/README.md" in page
