"""The wheels hold what they should, and work where nothing else is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

import imp_parallel_core

from .conftest import (
    PLUGINS,
    PROJECTS,
    ROOT,
    WITH_LARGE_DEPENDENCIES,
    Installed,
    clean_environment,
    run,
)

# the first of these tests builds the wheels and makes an environment, over the network
pytestmark = pytest.mark.timeout(300)

WITHOUT_HOOKS = {"joblib"}  # which joblib calls
DISTRIBUTIONS = tuple(name.replace("_", "-") for name in PROJECTS)


@pytest.mark.parametrize("package", PROJECTS)
def test_a_wheel_holds_its_package_whole_with_types_and_licence(
    wheels: dict[str, Path], package: str
) -> None:
    names = ZipFile(wheels[package]).namelist()
    folder = PROJECTS[package] / package
    files = (path for path in folder.rglob("*.*") if "__pycache__" not in path.parts)
    expected = {str(path.relative_to(folder.parent)) for path in files}
    assert f"{package}/py.typed" in expected
    metadata = {name for name in names if ".dist-info/" in name}
    assert set(names) - metadata == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in metadata)


def test_the_versions_in_the_metadata_are_the_packages(installed: Installed) -> None:
    versions = installed.python_c(
        "from importlib.metadata import version\n"
        "import imp_parallel_core as core\n"
        f"print(core.__version__, *map(version, {DISTRIBUTIONS!r}))"
    )
    assert set(versions.split()) == {imp_parallel_core.__version__}


def test_the_dependencies_fit_together(installed: Installed) -> None:
    check: list[str | Path] = [
        installed.python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "check",
    ]
    done = subprocess.run(check, env=clean_environment(), capture_output=True, text=True)
    left_out = [
        f"{name.replace('_', '-')} {imp_parallel_core.__version__} requires {dependency}, "
        "which is not installed."
        for name, dependency in WITH_LARGE_DEPENDENCIES.items()
    ]
    assert sorted(done.stdout.splitlines()) == left_out, done.stderr


def test_the_plugins_are_found_by_their_entry_points(installed: Installed) -> None:
    output = installed.python_c(
        "from importlib.metadata import entry_points\n"
        "for found in entry_points(group='imp_parallel'): print(found.name, found.load().__name__)"
    )
    found = dict(line.split() for line in output.splitlines())
    assert found.keys() == {path.name for path in PLUGINS} - WITHOUT_HOOKS
    assert found["local"] == "imp_parallel_local"


def test_the_command_is_installed(installed: Installed, tmp_path: Path) -> None:
    output = run([installed.python.with_name("imp-parallel"), "rerun", "--help"], tmp_path)
    assert "--pdb" in output


def test_what_the_core_and_its_plugins_explain_is_installed_with_them(
    installed: Installed, tmp_path: Path
) -> None:
    listed = run([installed.python.with_name("imp-parallel"), "explain"], tmp_path)
    for key in ("no-slave-started", "job-left", "pe-hostfile", "slurmctld-unreachable", "no-ssh"):
        assert f"\n{key} " in f"\n{listed}"


def test_the_slave_class_can_be_imported_from_either_package(installed: Installed) -> None:
    installed.python_c(
        "from imp_parallel_core import LocalSlave\n"
        "import imp_parallel_local\n"
        "assert LocalSlave is imp_parallel_local.LocalSlave"
    )


def test_the_example_runs_from_any_folder(installed: Installed, tmp_path: Path) -> None:
    example = shutil.copy(ROOT / "examples/score_vs_distance.py", tmp_path)
    output = run([installed.python, "-W", "error", example], tmp_path)
    assert "best: " in output


def test_the_core_alone_names_the_plugin_to_install(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    core = Installed(tmp_path, [wheels["imp_parallel_core"]])
    core.pip("check")
    output = core.python_c(
        "try:\n    from imp_parallel_core import LocalSlave\n"
        "except ImportError as problem: print(problem)"
    )
    assert "pip install imp-parallel-local" in output
