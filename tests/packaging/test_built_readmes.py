"""What a package index shows of a README: no link in it leads nowhere."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from imp_parallel_core import __version__
from release.build import build, for_index
from release.set_addresses import addresses_of, with_addresses

from .conftest import PROJECTS, ROOT, run

pytestmark = pytest.mark.timeout(300)

SITE, SOURCE = "https://a.example/imp/", "https://b.example/imp"
ADDRESSES = addresses_of(SITE, SOURCE)
TARGETS = re.compile(r"\]\(([^)]*)\)")
FOLDERS = {name: folder.relative_to(ROOT).as_posix() for name, folder in PROJECTS.items()}


def readme_of(project: str) -> str:
    return (PROJECTS[project] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("project", PROJECTS)
def test_each_link_of_a_readme_leads_to_a_page_of_the_site_or_a_file_of_the_version(
    project: str,
) -> None:
    before = TARGETS.findall(readme_of(project))
    after = TARGETS.findall(for_index(readme_of(project), FOLDERS[project], "1.2.3", ADDRESSES))
    assert len(after) == len(before) > 0
    for target in after:
        address = target.partition("#")[0]
        if address.startswith(SITE):
            page = address.removeprefix(SITE)
            assert (ROOT / "docs" / page).with_suffix(".md").exists(), target
        elif address.startswith(SOURCE):
            kind, tag, path = address.removeprefix(f"{SOURCE}/").split("/", 2)
            assert kind == ("raw" if path.endswith(".png") else "blob")
            assert tag == "v1.2.3"
            assert (ROOT / path).exists(), target
        else:
            assert target in before, "a link to elsewhere has changed"
            assert target.startswith("https://")


@pytest.mark.parametrize("project", PROJECTS)
def test_without_addresses_the_words_of_a_link_remain(project: str) -> None:
    text = for_index(readme_of(project), FOLDERS[project], "1.2.3", {})
    assert all(target.startswith("https://") for target in TARGETS.findall(text))
    words = re.findall(r"(?<!!)\[([^\[\]]+)\]\(", readme_of(project))
    assert words
    assert all(word in text for word in words)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[a `b[0]` c](../x.md#y)", f"[a `b[0]` c]({SOURCE}/blob/v1/plugins/x.md#y)"),
        ("[a](docs/x.md)", f"[a]({SOURCE}/blob/v1/plugins/p/docs/x.md)"),
        ("[a](../../docs/x/y.md#z)", f"[a]({SITE}x/y.html#z)"),
        ("![a](../../docs/x.png)", f"![a]({SOURCE}/raw/v1/docs/x.png)"),
        ("[a](https://c.example) [b](#b)", "[a](https://c.example) [b](#b)"),
        (
            "`[a](b)`, `f[0](1)` and [c](d)",
            f"`[a](b)`, `f[0](1)` and [c]({SOURCE}/blob/v1/plugins/p/d)",
        ),
        ("```\n[a](b)\n```\n", "```\n[a](b)\n```\n"),
    ],
)
def test_links_are_rewritten_and_code_is_not(text: str, wanted: str) -> None:
    assert for_index(text, "plugins/p", "1", ADDRESSES) == wanted


def test_what_is_built_of_a_commit_has_the_readme_of_the_index(tmp_path: Path) -> None:
    root, dist = tmp_path / "repository", tmp_path / "dist"
    for name in ("imp_parallel_core", "imp_parallel_local"):
        folder = root / FOLDERS[name]
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECTS[name] / name, folder / name, ignore=ignored)
        for file in ("README.md", "LICENSE"):
            shutil.copy(PROJECTS[name] / file, folder)
        described = (PROJECTS[name] / "pyproject.toml").read_text(encoding="utf-8")
        described = with_addresses(described, ADDRESSES)
        (folder / "pyproject.toml").write_text(described, encoding="utf-8")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"], ["tag", "v1"]):
        run([*git, *words], root)
    (root / "README.md").write_text("this is not committed")
    build("v1", dist, root)
    assert (root / "README.md").read_text() == "this is not committed"
    run([sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()], root)
    for name in ("imp_parallel_core", "imp_parallel_local"):
        wanted = for_index(readme_of(name), FOLDERS[name], __version__, ADDRESSES)
        with ZipFile(dist / f"{name}-{__version__}-py3-none-any.whl") as wheel:
            (metadata,) = (each for each in wheel.namelist() if each.endswith("/METADATA"))
            assert readme_in(wheel.read(metadata)) == wanted
        with tarfile.open(dist / f"{name}-{__version__}.tar.gz") as source:
            info = source.extractfile(f"{name}-{__version__}/PKG-INFO")
            assert info is not None
            assert readme_in(info.read()) == wanted


def readme_in(metadata: bytes) -> str:
    return str(Parser().parsestr(metadata.decode()).get_payload())
