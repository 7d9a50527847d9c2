"""A slave imports from folders that are the master's own, or nobody else's doing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import imp_parallel_core
from imp_parallel_core import Bootstrap
from imp_parallel_core._code.same_files import facts_of, usable
from imp_parallel_core._slave.surroundings import go_to_folder_of, paths_of

DIAL = """
import sys
def dial(document, patience_s):
    print(sys.path)
    sys.exit(0)
"""


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that everybody can write to, as another user's might be."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def of_another(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """It belongs neither to the user nor to root, as it seems."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if open_folder.stat().st_uid == 0:
        os.chown(open_folder, 54321, -1)
    return open_folder


def facts_elsewhere(paths: list[str], cwd: str) -> dict[str, list[int]]:
    """Return what the master says of folders to a slave on another machine."""
    return {**facts_of(paths, cwd), "": [1]}


def test_on_the_masters_machine_all_is_used_as_the_master_does(of_another: Path) -> None:
    paths = [str(of_another), f"{of_another}/later", "/dev/shm"]
    facts = facts_of(paths, "/nowhere")
    for path in (paths[0], paths[2]):
        facts[path][1] += 1  # it has changed meanwhile
    assert usable(paths, facts, "/nowhere") == (paths, {})


def test_the_masters_own_folder_is_used_whoever_can_write_to_it(of_another: Path) -> None:
    folder = str(of_another)
    assert usable([folder], facts_elsewhere([folder], "/nowhere"), "/nowhere") == ([folder], {})


@pytest.mark.parametrize("mode", [0o755, 0o775, 0o1777])
def test_a_folder_that_has_changed_is_the_masters_if_it_is_the_users(
    tmp_path: Path, mode: int
) -> None:
    folder = str(tmp_path)
    tmp_path.chmod(mode)
    facts = facts_elsewhere([folder], "/nowhere")
    facts[folder][1] += 1
    assert usable([folder], facts, "/nowhere") == ([folder], {})


def facts_of_another_host(path: str) -> dict[str, list[int]]:
    """Return what the master says of a folder of the same inode that is not this one."""
    facts = facts_elsewhere([path], path)
    facts[path][1] += 1
    return facts


def test_the_root_of_a_file_system_that_others_can_write_to_may_be_another_on_each_host() -> None:
    shared = "/dev/shm"  # (/tmp need not be one)
    assert Path(shared).is_mount()
    assert Path(shared).stat().st_mode & 0o1777 == 0o1777
    facts = facts_of_another_host(shared)
    for cwd in (shared, "/nowhere"):
        assert usable([shared], facts, cwd) == ([], {shared: f"everybody can write to {shared}"})
    assert usable(["/"], facts_of_another_host("/"), "/") == (["/"], {})


def test_modules_of_others_are_not_imported_from_a_folder_that_each_host_has_of_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, home = "/dev/shm", str(tmp_path)
    monkeypatch.setenv("HOME", home)
    monkeypatch.chdir(home)
    common = {
        "sys_path": [shared],
        "sent_path": [],
        "base_prefix": "",
        "library": [],
        "cwd": shared,
    }
    for has_own_files in (True, False):
        facts = {} if has_own_files else facts_of_another_host(shared)
        document = {**common, "folders": facts, "has_own_files": has_own_files}
        assert shared not in paths_of(document)
        assert go_to_folder_of(document) == home
        said = capfd.readouterr().err
        assert f"{shared} is not imported from, since somebody else may be behind it" in said
        assert f"can't work in {shared} (everybody can write to {shared})" in said


def test_a_folder_that_has_changed_is_the_masters_if_it_is_beside_the_scripts(
    of_another: Path, tmp_path: Path
) -> None:
    folder, cwd = str(of_another), str(tmp_path)
    facts = facts_elsewhere([folder], cwd)
    facts[folder][1] += 1
    assert usable([folder], facts, cwd) == ([folder], {})
    facts[cwd] = [facts[cwd][0] + 1, 0, 1, 0]  # the script's folder is another there
    assert usable([folder], facts, cwd)[0] == []
    facts = facts_elsewhere([folder], cwd)
    facts[folder][1:] = [0, 0, 0]  # the master has them on two file systems
    assert usable([folder], facts, cwd)[0] == []


def another_inode(facts: dict[str, list[int]], folder: str) -> None:
    facts[folder][0] += 1


def no_facts(facts: dict[str, list[int]], folder: str) -> None:
    del facts[folder]


@pytest.mark.parametrize("change", [another_inode, no_facts])
def test_another_folder_at_the_path_is_not_used_if_others_may_have_made_it(
    open_folder: Path, change: Callable[[dict[str, list[int]], str], None]
) -> None:
    folder = str(open_folder)
    facts = facts_of([folder], folder)
    change(facts, folder)
    used, refusals = usable([folder, "/usr/lib"], facts, folder)
    assert used == ["/usr/lib"]
    assert refusals == {folder: f"everybody can write to {folder}"}


def test_a_folder_that_is_not_there_is_left_out_if_others_could_make_it(open_folder: Path) -> None:
    paths = [f"{open_folder}/later", "/usr/lib/python311.zip"]
    assert usable(paths, facts_elsewhere(paths, "/"), "/") == (["/usr/lib/python311.zip"], {})


def test_a_slave_that_dials_says_what_it_does_not_import_from(
    open_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "show.py").write_text(DIAL)
    core = str(Path(imp_parallel_core.__file__).parents[1])
    paths = [str(tmp_path), core, str(open_folder)]
    bootstrap = Bootstrap(0, sys.executable, str(tmp_path), None, paths, dial="show:dial")
    document = json.loads(bootstrap.document())
    document["folders"][str(open_folder)][0] += 1
    (tmp_path / "document").write_text(json.dumps(document))
    command = bootstrap.command("file", str(tmp_path / "document"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{paths[:2]}\n"
    assert f"{open_folder} is not imported from" in done.stderr
    assert f"everybody can write to {open_folder}" in done.stderr
