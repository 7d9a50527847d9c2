"""A distribution as a stranger writes it is built, installed from files alone, found and used."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import ROOT, clean_environment, run

pytestmark = pytest.mark.timeout(300)  # the first of these tests builds wheels and an environment

STRANGER = Path(__file__).with_name("distribution")
SHOWN = ["pyproject.toml", "pinned_slaves/__init__.py", "pinned_slaves/progress.py"]
SHOWN += ["pinned_slaves/explanations.md", "tests/test_pinned_slaves.py"]
NEEDED = ["cloudpickle", "pluggy"]
OF_PYTEST = ["iniconfig", "packaging", "pygments", "pytest"]


def wheel_of_installed(name: str, folder: Path) -> None:
    """Make a wheel of a pure distribution that is installed here, so that no index is needed."""
    found = distribution(name)
    tag = re.findall(r"^Tag: (.*)$", found.read_text("WHEEL") or "", re.MULTILINE)[-1]
    path = folder / f"{name}-{found.version}-{tag}.whl"
    with ZipFile(path, "w") as wheel:
        for file in found.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                wheel.write(str(file.locate()), str(file))


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment that has the stranger's distribution, and its Python."""
    folder = tmp_path_factory.mktemp("stranger")
    wheels = folder / "wheels"
    wheels.mkdir()
    shutil.copytree(STRANGER, folder / "distribution")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    pip.append("--no-cache-dir")  # a test run leaves nothing behind
    build = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(wheels)]
    run([*build, ROOT, folder / "distribution"], folder)
    for name in (*NEEDED, *OF_PYTEST):
        wheel_of_installed(name, wheels)
    venv.create(folder / "env")
    offline = ["--no-index", "--find-links", str(wheels), "pinned-slaves", "pytest"]
    run([*pip, "--python", folder / "env", "install", "--quiet", *offline], folder)
    return folder / "env/bin/python"


def test_the_launcher_and_the_observer_are_found_by_their_entry_points(environment: Path) -> None:
    said = run([environment, "-c", FINDS], environment.parent)
    assert said.split() == ["pinned_slaves", "pinned_slaves.progress", "PinnedSlave"]


FINDS = """
from imp_parallel_core import PinnedSlave
from imp_parallel_core._plugins.found import find_plugins
print(*sorted(found.module for found in find_plugins().plugins), PinnedSlave.__name__)
"""


def test_the_strangers_own_tests_put_the_launcher_through_the_kit(
    environment: Path, tmp_path: Path
) -> None:
    tests = shutil.copytree(STRANGER / "tests", tmp_path / "tests")
    said = run([environment, "-m", "pytest", "-W", "error", "--rootdir", tests, tests], tmp_path)
    assert re.search(r"\b\d+ passed in", said), said
    assert "skipped" not in said


def test_the_script_of_the_readme_runs_on_the_strangers_slaves(
    environment: Path, tmp_path: Path
) -> None:
    source = (ROOT / "examples/score_vs_distance.py").read_text()
    source = source.replace("LocalSlave()", 'PinnedSlave("0")').replace("LocalSlave", "PinnedSlave")
    (tmp_path / "script.py").write_text(source.replace("imp_parallel_local", "pinned_slaves"))
    done = subprocess.run(
        [environment, "-W", "error", "script.py"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (shown,) = re.findall(r"```text\n(distance.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert done.stdout.splitlines()[:-1] == shown.splitlines()[:-1]
    assert "ended: {'slave " in done.stderr, "the observer says something"


def test_imp_parallel_lists_the_strangers_plugin_and_checks_its_slave_by_name(
    environment: Path, tmp_path: Path
) -> None:
    command = environment.with_name("imp-parallel")
    assert "    slaves      PinnedSlave\n" in run([command, "plugins"], tmp_path)
    said = run([command, "check", 'PinnedSlave("0")'], tmp_path)
    assert "PinnedSlave is of pinned-slaves" in said
    assert "taskset --cpu-list 0" in said
    assert "no process of it is left" in said
    assert said.endswith('All of it works: PinnedSlave("0")\n')


def test_an_error_of_the_strangers_names_its_explanation_which_imp_parallel_prints(
    environment: Path, tmp_path: Path
) -> None:
    bin = tmp_path / "bin"
    bin.mkdir()  # has no taskset
    script = "from imp_parallel_core import PinnedSlave; PinnedSlave('0').check()"
    done = subprocess.run(
        [environment, "-c", script],
        env={**clean_environment(), "PATH": str(bin)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.endswith(
        "LaunchError: there is no taskset in the PATH\nMore: imp-parallel explain no-taskset\n"
    )
    command = environment.with_name("imp-parallel")
    assert "util-linux" in run([command, *done.stderr.splitlines()[-1].split()[2:]], tmp_path)
    assert "no-taskset" in run([command, "explain"], tmp_path)
    assert "    explains    no-taskset\n" in run([command, "plugins"], tmp_path)


@pytest.mark.parametrize("name", SHOWN)
def test_the_documents_show_the_strangers_files_as_they_are(name: str) -> None:
    page = (ROOT / "docs/plugins.md").read_text()
    marked = rf"<!-- tests/stranger/distribution/{name} -->\n```\w+\n(.*?)```"
    shown = re.findall(marked, page, re.DOTALL)
    assert shown == [(STRANGER / name).read_text()]
