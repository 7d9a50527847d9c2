"""All wheels, and fresh virtual environments that they are installed in."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PROJECTS = {"imp_parallel_core": ROOT, **{f"imp_parallel_{path.name}": path for path in PLUGINS}}
# Dask and Ray take 300 MB: they are installed for the tests on them, and not once more
WITH_LARGE_DEPENDENCIES = {"imp_parallel_dask": "distributed", "imp_parallel_ray": "ray"}


def clean_environment() -> dict[str, str]:
    """Return this environment without what would let a script find the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command in a folder and return what it prints; fail with its errors if it fails."""
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Installed:
    """A virtual environment of its own, with some of the wheels."""

    def __init__(self, folder: Path, wheels: Sequence[Path]) -> None:
        self.folder = folder
        venv.create(folder / "env", with_pip=True)
        self.python = folder / "env/bin/python"
        self.pip("install", "--quiet", *wheels)

    def pip(self, *arguments: str | Path) -> str:
        """Run pip there."""
        options = ("--disable-pip-version-check", "--no-input")
        return run([self.python, "-m", "pip", *options, *arguments], self.folder)

    def python_c(self, statements: str) -> str:
        """Run statements there, in a folder that holds no package."""
        return run([self.python, "-W", "error", "-c", statements], self.folder)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheels; return their paths by the name of the import package."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in PROJECTS.values():
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
        run([*command, "--no-deps", "--no-build-isolation", "-w", str(folder), project], folder)
    return {name: next(folder.glob(f"{name}-*.whl")) for name in PROJECTS}


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return an environment with all distributions, but without what is large."""
    large = [wheels[name] for name in WITH_LARGE_DEPENDENCIES]
    made = Installed(
        tmp_path_factory.mktemp("all"), [wheel for wheel in wheels.values() if wheel not in large]
    )
    made.pip("install", "--quiet", "--no-deps", *large)
    return made
