"""What RELEASING.md relies on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imp_parallel_core import __version__
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
