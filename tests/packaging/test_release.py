"""What RELEASING.md relies on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from imp_parallel_core import __version__
from release.set_addresses import addresses_of, projects_of, with_addresses
from release.set_version import files_of, with_version

from .conftest import PROJECTS, ROOT, run

pytestmark = pytest.mark.timeout(300)  # the first of these tests may build the wheels


def test_all_distributions_have_the_version_of_the_core() -> None:
    for path in files_of(ROOT):
        text = path.read_text(encoding="utf-8")
        assert with_version(text, __version__) == text, path


def test_a_new_version_is_written_into_all_distributions_at_once(tmp_path: Path) -> None:
    for path in [*files_of(ROOT), ROOT / "release/set_version.py"]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    run([sys.executable, tmp_path / "release/set_version.py", "7.8.9rc1"], tmp_path)
    old = re.compile(re.escape(__version__) + "|==" + re.escape(__version__.rpartition(".")[0]))
    for path in files_of(tmp_path):
        text = path.read_text(encoding="utf-8")
        assert '"7.8.9rc1"' in text, path
        assert not old.search(text), path


def test_what_is_no_version_is_refused() -> None:
    command = [sys.executable, str(ROOT / "release/set_version.py"), "next"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")


def urls_in(path: Path) -> dict[str, str]:
    urls: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8"))["project"].get(
        "urls", {}
    )
    return urls


def base_in(root: Path) -> str:
    """Return the address of the site in docs/conf.py; "" if there is none."""
    text = (root / "docs/conf.py").read_text(encoding="utf-8")
    return "".join(re.findall(r'^html_baseurl = "(.*)"$', text, re.MULTILINE))


def test_all_distributions_have_the_same_addresses_and_the_site_has_its_own_or_none_has() -> None:
    first, *others = (urls_in(path) for path in projects_of(ROOT))
    assert all(urls == first for urls in others)
    assert base_in(ROOT) == first.get("Documentation", "")


def test_addresses_are_written_into_all_distributions_at_once(tmp_path: Path) -> None:
    script = ROOT / "release/set_addresses.py"
    for path in [*projects_of(ROOT), ROOT / "docs/conf.py", script]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for site, source in [
        ("https://a.example/imp", "https://b.example/x"),
        ("https://c.example/", "https://d.example/y/"),
    ]:
        run(
            [
                sys.executable,
                tmp_path / "release/set_addresses.py",
                "--site",
                site,
                "--source",
                source,
            ],
            tmp_path,
        )
        wanted = addresses_of(site, source)
        assert wanted["Changelog"] == f"{site.rstrip('/')}/changelog.html"
        assert wanted["Issues"] == f"{source.rstrip('/')}/issues"
        for path in projects_of(ROOT):
            copy = tmp_path / path.relative_to(ROOT)
            assert urls_in(copy) == wanted
            before, after = (
                tomllib.loads(each.read_text(encoding="utf-8")) for each in (path, copy)
            )
            for read in (before, after):
                read["project"].pop("urls", None)
            assert after == before, "something else has changed"
        assert base_in(tmp_path) == wanted["Documentation"]
        compile((tmp_path / "docs/conf.py").read_text(encoding="utf-8"), "conf.py", "exec")


@pytest.mark.parametrize(
    "site", ["http://a.example", "a.example", "https://a b", 'https://a"b', "https://é"]
)
def test_what_is_no_safe_address_is_refused(site: str) -> None:
    command = [
        sys.executable,
        str(ROOT / "release/set_addresses.py"),
        "--site",
        site,
        "--source",
        "https://b.example",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert repr(site) in done.stderr


def test_explain_prints_the_address_of_a_section_that_the_metadata_names(tmp_path: Path) -> None:
    text = with_addresses(
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        addresses_of("https://a.example/imp", "https://b.example"),
    )
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "imp_parallel_core", tmp_path / "imp_parallel_core", ignore=ignored)
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    installed = tmp_path / "installed"
    run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist"],
        tmp_path,
    )
    (wheel,) = (tmp_path / "dist").iterdir()
    ZipFile(wheel).extractall(installed)
    script = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); "
        "from imp_parallel_core._commands.main import main; main()"
    )
    said = run([sys.executable, "-c", script, "explain", "no-slave-left"], tmp_path)
    assert said.endswith("On the site: https://a.example/imp/troubleshooting.html#no-slave-left\n")


def test_the_package_index_would_accept_all_wheels(wheels: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, wheels.values())]
    assert run(command, ROOT).count("PASSED") == len(PROJECTS)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_who_builds_the_same_sources_gets_the_same_bytes(kind: str, tmp_path: Path) -> None:
    built = []
    for name in ("once", "again"):
        folder = tmp_path / name
        command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        (file,) = folder.iterdir()
        built.append((file.name, file.read_bytes()))
    assert built[0] == built[1]


def test_all_distributions_name_the_same_pythons_which_are_those_that_are_tested() -> None:
    named = {
        project: _pythons_of(folder / "pyproject.toml") for project, folder in PROJECTS.items()
    }
    required, versions = named["imp_parallel_core"]
    assert named == dict.fromkeys(PROJECTS, (required, versions))
    assert required == f">={versions[0]}"  # an upper bound would keep people from trying
    text = (ROOT / "RELEASING.md").read_text(encoding="utf-8")
    assert versions == re.findall(r"^ *\| (3\.\d+) \|", text, re.MULTILINE)


def _pythons_of(path: Path) -> tuple[str, list[str]]:
    """Return what a distribution requires, and the versions that its classifiers name."""
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    begin = "Programming Language :: Python :: 3."
    minors = [each.removeprefix(begin) for each in project["classifiers"] if each.startswith(begin)]
    return project["requires-python"], [f"3.{minor}" for minor in minors]
