"""Entry points are found as importlib.metadata finds them, without its import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NoReturn
from zipfile import ZipFile

import pytest

from imp_parallel_core._plugins.entry_points import EntryPoint, find_entry_points

GROUPS = ("imp_parallel", "console_scripts", "pytest11", "no.such.group")


def distribution(folder: Path, name: str, entry_points: str | None) -> None:
    """Make what an installer leaves of a distribution."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    if entry_points is not None:
        (info / "entry_points.txt").write_text(entry_points)


_ASK = """
import importlib.metadata, json, sys
sys.path[:] = json.loads(sys.argv[1])
found = importlib.metadata.entry_points(group=sys.argv[2])
rows = {(f.dist.name.lower().replace("_", "-"), f.value, f.name) for f in found}
print(json.dumps(sorted(rows)))
"""


def asked(group: str) -> set[tuple[str, str, str]]:
    """Return what importlib.metadata finds.

    It is asked in a process of its own: the package importlib_metadata, which Dask's tests bring
    into this one, takes the place of its finder.
    """
    command = [sys.executable, "-c", _ASK, json.dumps(sys.path), group]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {(name, value, entry) for name, value, entry in json.loads(done.stdout)}


@pytest.mark.parametrize("group", GROUPS)
def test_the_same_is_found_as_importlib_metadata_finds(group: str) -> None:
    assert set(find_entry_points(group)) == asked(group)


def test_all_entries_of_a_group_are_found_whatever_else_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "# a comment\n[other]\na = b\n\n[imp_parallel]\none = pkg.mod:thing.part [extra]\n"
    distribution(tmp_path, "Some_Plugin", text + "; another\ntwo=pkg\n[last]\nc = d\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert find_entry_points("imp_parallel") == [
        EntryPoint("some-plugin", "pkg.mod:thing.part", "one"),
        EntryPoint("some-plugin", "pkg", "two"),
    ]


@pytest.mark.parametrize("shadow", [None, "[imp_parallel]\nx = first\n"])
def test_a_distribution_that_is_there_twice_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shadow: str | None
) -> None:
    distribution(tmp_path / "one", "some_plugin", shadow)
    distribution(tmp_path / "two", "some_plugin", "[imp_parallel]\nx = second\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "one"), str(tmp_path / "two")])
    found = [entry_point.value for entry_point in find_entry_points("imp_parallel")]
    assert found == ([] if shadow is None else ["first"])


def test_a_distribution_in_an_archive_is_found_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(tmp_path, "some_plugin", "[imp_parallel]\nx = pkg\n")
    with ZipFile(tmp_path / "archive.zip", "w") as archive:
        for file in (tmp_path / "some_plugin-1.0.dist-info").iterdir():
            archive.write(file, f"some_plugin-1.0.dist-info/{file.name}")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "archive.zip")])
    assert EntryPoint("some-plugin", "pkg", "x") in find_entry_points("imp_parallel")


def test_folders_that_are_missing_or_hold_odd_names_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file-1.0.dist-info").touch()
    (tmp_path / "-.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(tmp_path / "missing")])
    monkeypatch.chdir(tmp_path)
    assert find_entry_points("imp_parallel") == []


def test_a_distribution_that_importlib_metadata_fails_on_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Finder:
        @staticmethod
        def find_spec(*_: object) -> None: ...

        @staticmethod
        def find_distributions(_: object) -> NoReturn:
            raise ValueError("no metadata")

    distribution(tmp_path, "one", "[imp_parallel]\nfirst = a_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert EntryPoint("one", "a_module", "first") in find_entry_points("imp_parallel")
    assert "importlib.metadata failed: ValueError: no metadata" in caplog.text


def test_an_entry_point_loads_a_module_or_what_is_in_it() -> None:
    assert EntryPoint("x", "pathlib", "y").load() is sys.modules["pathlib"]
    assert EntryPoint("x", "pathlib:Path.home", "y").load() == Path.home


def test_importlib_metadata_is_not_imported_where_there_are_only_folders() -> None:
    script = (
        "import sys; from imp_parallel_core._plugins.found import find_plugins; find_plugins(); "
        "print('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
