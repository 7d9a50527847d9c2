"""The source distributions hold what they should, and wheels can be built from them."""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from .conftest import PROJECTS, ROOT, run

pytestmark = pytest.mark.timeout(300)  # the first of these tests builds all distributions

BESIDE_THE_PACKAGE = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", ".gitignore"}
DOCUMENTS = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "examples")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the source distributions; return their folders by the name of the import package."""
    folder = tmp_path_factory.mktemp("sources")
    for project in PROJECTS.values():
        build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
        run(build, project)
    for archive in folder.glob("*.tar.gz"):
        run(["tar", "-xzf", archive], folder)
    return {name: next(path for path in folder.glob(f"{name}-*/")) for name in PROJECTS}


def files_in(folder: Path) -> set[str]:
    """Return the paths of all files in a folder, or the folder itself if it is a file."""
    paths = folder.rglob("*") if folder.is_dir() else [folder]
    return {
        str(path)
        for path in paths
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & {*path.parts}
    }


def expected(package: str) -> set[str]:
    """Return what the source distribution of a package is to hold."""
    project = PROJECTS[package]
    parts = [package, *(DOCUMENTS if project == ROOT else ())]
    found = {path for part in parts for path in files_in(project / part)}
    return BESIDE_THE_PACKAGE | {str(Path(path).relative_to(project)) for path in found}


@pytest.mark.parametrize("package", PROJECTS)
def test_a_source_distribution_holds_the_package_its_documents_and_nothing_else(
    unpacked: dict[str, Path], package: str
) -> None:
    folder = unpacked[package]
    held = {str(Path(path).relative_to(folder)) for path in files_in(folder)}
    assert held == expected(package)


@pytest.mark.parametrize("package", PROJECTS)
def test_a_wheel_that_is_built_from_it_is_that_of_the_repository(
    unpacked: dict[str, Path], wheels: dict[str, Path], package: str, tmp_path: Path
) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    run(build, unpacked[package])
    (wheel,) = tmp_path.glob("*.whl")
    assert contents_of(wheel) == contents_of(wheels[package])


def contents_of(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel by name."""
    with ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}
