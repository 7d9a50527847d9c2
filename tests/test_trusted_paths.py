"""What somebody else may be behind is not trusted, by Python and by the shell alike."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imp_parallel_core._slave.program import _go_to, _paths
from imp_parallel_core.trusted_paths import SHELL_FUNCTION, why_not
from tests.support.as_root import can_be_root, run_as_root

SOMEBODY = 65534


def give(path: Path, user: int | str = "", group: int | str = "") -> None:
    """Have a path, itself a link or not, belong to another user, another group, or both."""
    run_as_root("chown", "-h", f"{user}:{group}" if group else str(user), str(path))


def by_shell(path: str) -> str:
    """Ask the shell, from a single-quoted word as a login shell is given it."""
    assert not set(SHELL_FUNCTION) & set("'!\\\n")
    command = ["/bin/sh", "-c", f'{SHELL_FUNCTION}; why_not "$1"', "sh", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def plain(folder: Path) -> str:
    return ""


def everybodys_folder(folder: Path) -> str:
    folder.chmod(0o777)
    return f"everybody can write to {folder}"


def everybodys_folder_with_the_sticky_bit(folder: Path) -> str:
    folder.chmod(0o1777)
    return ""


def everybodys_file(folder: Path) -> str:
    (folder / "env/python").chmod(0o757)
    return f"everybody can write to {folder}/env/python"


def somebodys_file(folder: Path) -> str:
    give(folder / "env/python", SOMEBODY)
    return f"{folder}/env/python belongs to another user"


def somebodys_folder_below_the_sticky_bit(folder: Path) -> str:
    folder.chmod(0o1777)
    give(folder / "env", SOMEBODY, SOMEBODY)
    return f"{folder}/env belongs to another user"


def a_groups_folder(folder: Path) -> str:
    (folder / "env").chmod(0o775)
    give(folder / "env", group=SOMEBODY)
    return f"its group can write to {folder}/env"


def ones_own_groups_folder(folder: Path) -> str:
    (folder / "env").chmod(0o775)
    return ""


def behind_a_link(folder: Path) -> str:
    (folder / "env/python").rename(folder / "env/python3")
    (folder / "env/python").symlink_to("python3")
    return ""


def behind_a_link_by_way_of_somebodys_folder(folder: Path) -> str:
    (folder / "other").mkdir()
    (folder / "env/python").rename(folder / "real")
    (folder / "other/python").symlink_to("../real")
    (folder / "env/python").symlink_to(folder / "other/../other/./python")
    give(folder / "other", SOMEBODY)
    return f"{folder}/other belongs to another user"


def somebodys_link(folder: Path) -> str:
    (folder / "env/python").rename(folder / "env/python3")
    (folder / "env/python").symlink_to("python3")
    give(folder / "env/python", SOMEBODY)
    return f"{folder}/env/python belongs to another user"


def a_link_to_itself(folder: Path) -> str:
    (folder / "env/python").unlink()
    (folder / "env/python").symlink_to("python")
    return f"{folder}/env/python is an endless link"


def nothing(folder: Path) -> str:
    (folder / "env/python").unlink()
    return f"{folder}/env/python is not there"


@pytest.mark.skipif(not can_be_root(), reason="only root can make files of somebody else's")
@pytest.mark.parametrize("name", ["folder", "a b $x *"])
@pytest.mark.parametrize(
    "arrange",
    [
        plain,
        everybodys_folder,
        everybodys_folder_with_the_sticky_bit,
        everybodys_file,
        somebodys_file,
        somebodys_folder_below_the_sticky_bit,
        a_groups_folder,
        ones_own_groups_folder,
        behind_a_link,
        behind_a_link_by_way_of_somebodys_folder,
        somebodys_link,
        a_link_to_itself,
        nothing,
    ],
    ids=lambda arrange: arrange.__name__,
)
def test_a_path_is_trusted_only_if_nobody_else_can_be_behind_it(
    tmp_path: Path, name: str, arrange: Callable[[Path], str]
) -> None:
    folder = tmp_path / name
    (folder / "env").mkdir(parents=True)
    (folder / "env/python").touch()
    reason = arrange(folder)
    path = f"{folder}/env/python"
    assert (why_not(path), by_shell(path)) == (reason, reason)


def test_the_systems_own_are_trusted() -> None:
    for path in ("/", "/bin/sh", "/usr/bin"):
        assert why_not(path) == by_shell(path) == ""


def test_a_slave_on_another_machine_imports_from_what_is_trusted_there_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("mine", "everybodys"):
        (tmp_path / name).mkdir()
    (tmp_path / "everybodys").chmod(0o777)
    entries = [f"{tmp_path}/{name}" for name in ("mine", "everybodys", "missing")]
    document = document_of(sys_path=entries)
    found = _paths(document)
    assert [entry for entry in entries if entry in found] == entries[:1]
    said = capfd.readouterr().err
    assert f"{tmp_path}/everybodys is not imported from" in said
    assert "everybody can write" in said
    assert "missing" not in said
    assert entries == [e for e in _paths({**document, "has_own_files": False}) if e in entries]


def document_of(**parts: object) -> dict[str, object]:
    """Return what a slave on another machine is told of its paths."""
    common = {"base_prefix": "", "library": [], "has_own_files": True}
    return {"sys_path": [], "sent_path": [], "folders": {}, **common, **parts}


def test_what_was_sent_to_a_slave_is_imported_whoever_owns_the_folders_around_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    around = tmp_path / "temporary"
    sent = around / "private/modules"
    sent.mkdir(parents=True)
    around.chmod(0o777)
    assert why_not(str(sent)) == f"everybody can write to {around}"
    document = document_of(sys_path=[str(tmp_path)], sent_path=[str(sent)])
    assert _paths(document)[:2] == [str(tmp_path), str(sent)]
    assert "not imported" not in capfd.readouterr().err


def test_a_slave_on_another_machine_works_in_a_folder_that_is_trusted_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "everybodys"
    folder.mkdir()
    folder.chmod(0o777)
    assert _go_to(str(folder), has_own_files=True) == str(tmp_path) == str(Path.cwd())
    words = f"can't work in {folder} (everybody can write to {folder}), so this slave works in"
    assert f"{words} {tmp_path}" in capfd.readouterr().err
    assert _go_to(str(folder), has_own_files=False) == str(folder) == str(Path.cwd())
