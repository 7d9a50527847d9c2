"""One word installs the core with a plugin, and all words name plugins of the core's version."""

from __future__ import annotations

import re
import sys
import venv
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from imp_parallel_core import __version__

from .conftest import PLUGINS, PROJECTS, run

pytestmark = pytest.mark.timeout(300)  # the first of these tests builds the wheels

MINOR = ".".join(__version__.split(".")[:2])


def metadata_of(wheel: Path) -> Message:
    """Return the metadata in a wheel."""
    with ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(opened.read(name))


def extras_of(metadata: Message) -> dict[str, list[str]]:
    """Return what each extra requires."""
    extras: dict[str, list[str]] = {name: [] for name in metadata.get_all("Provides-Extra", [])}
    for line in metadata.get_all("Requires-Dist", []):
        requirement, _, marker = line.partition(";")
        if found := re.fullmatch(r"\s*extra == ['\"](\w+)['\"]", marker):
            extras[found[1]].append(requirement.strip())
    return extras


def test_each_plugin_is_an_extra_of_the_core_in_the_same_minor_version(
    wheels: dict[str, Path],
) -> None:
    extras = extras_of(metadata_of(wheels["imp_parallel_core"]))
    everything = extras.pop("all")
    assert extras == {path.name: [f"imp-parallel-{path.name}=={MINOR}.*"] for path in PLUGINS}
    assert sorted(everything) == sorted(line for (line,) in extras.values())


@pytest.mark.parametrize("package", PROJECTS)
def test_a_distribution_has_the_cores_version_and_requires_others_of_it(
    wheels: dict[str, Path], package: str
) -> None:
    metadata = metadata_of(wheels[package])
    assert metadata["Version"] == __version__
    for line in metadata.get_all("Requires-Dist", []):
        requirement = line.partition(";")[0].strip()
        if requirement.startswith("imp-parallel-"):
            assert requirement.endswith(f"=={MINOR}.*"), line


def test_an_extra_installs_the_plugin_from_files_alone(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    pip = ["-m", "pip", "--disable-pip-version-check", "--no-input"]
    third_parties = ["--no-deps", "-d", str(tmp_path), "pluggy", "cloudpickle"]
    run([sys.executable, *pip, "download", "--quiet", *third_parties], tmp_path)
    folders = {str(wheel.parent) for wheel in wheels.values()} | {str(tmp_path)}
    places = [word for folder in folders for word in ("--find-links", folder)]
    python = tmp_path / "env/bin/python"
    run(
        [python, *pip, "install", "--quiet", "--no-index", *places, "imp-parallel-core[local]"],
        tmp_path,
    )
    listed = run([python, *pip, "list", "--format", "freeze"], tmp_path)
    ours = [line for line in listed.splitlines() if line.startswith("imp-parallel-")]
    assert ours == [f"imp-parallel-core=={__version__}", f"imp-parallel-local=={__version__}"]
    run([python, "-c", "from imp_parallel_core import LocalSlave"], tmp_path)
