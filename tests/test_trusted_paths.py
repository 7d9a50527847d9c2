"""What somebody else may be behind is not trusted, by Python and by the shell alike."""

from __future__ import annotations

import grp
import os
import pwd
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import trusted_paths
from imp_parallel_core._slave.surroundings import go_to_folder_of, paths_of
from imp_parallel_core.trusted_paths import SHELL_FUNCTION, why_not
from tests.support.as_root import can_be_root, changing_users, comment, run_as_root

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


def a_folder_of_which_a_list_lets_somebody_write(folder: Path) -> str:
    # of the list's entries, each: a kind, a permission, and whose it is
    entries = [(1, 7, -1), (2, 7, SOMEBODY), (4, 5, -1), (16, 7, -1), (32, 5, -1)]
    packed = b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(folder / "env", "system.posix_acl_access", struct.pack("<I", 2) + packed)
    return f"others may be able to write to {folder}/env (it has an access list)"


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
        a_folder_of_which_a_list_lets_somebody_write,
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


@pytest.mark.parametrize("way", ["", "/.", "/env/..", "/here", "/missing", "/missing/python"])
def test_a_folder_to_which_everybody_can_add_is_not_trusted_itself(
    tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "scratch"
    (folder / "env").mkdir(parents=True)
    (folder / "here").symlink_to(".")
    folder.chmod(0o1777)
    reason = f"everybody can write to {folder}"
    assert why_not(f"{folder}{way}") == by_shell(f"{folder}{way}") == reason
    assert why_not(f"{folder}/env") == by_shell(f"{folder}/env") == ""


@pytest.fixture
def somebodys_name() -> Iterator[str]:
    """The name of another user, who is made for one test."""
    name = f"imptrust{os.urandom(4).hex()}"  # another run may have the same pids
    run = pwd.getpwuid(os.getuid()).pw_name
    # without a group of its own, which userdel would leave if the test makes another one primary
    options = ("--no-create-home", "--no-user-group", "--comment", comment(run))
    run_as_root(*changing_users("useradd", *options, name))
    yield name
    run_as_root(*changing_users("userdel", name))


def as_a_member(name: str, group: str) -> None:
    run_as_root(*changing_users("usermod", "--append", "--groups", group, name))


def as_its_primary_group(name: str, group: str) -> None:
    run_as_root(*changing_users("usermod", "--gid", group, name))


@pytest.mark.skipif(
    not can_be_root() or os.geteuid() == 0, reason="only root can make users, and has no such group"
)
@pytest.mark.parametrize("join", [as_a_member, as_its_primary_group])
def test_a_group_in_which_somebody_else_is_is_nobodys_own(
    tmp_path: Path, somebodys_name: str, join: Callable[[str, str], None]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o775)
    trusted_paths._is_own_group.cache_clear()
    assert why_not(str(folder)) == by_shell(str(folder)) == ""
    join(somebodys_name, grp.getgrgid(os.getgid()).gr_name)
    trusted_paths._is_own_group.cache_clear()
    assert why_not(str(folder)) == by_shell(str(folder)) == f"its group can write to {folder}"


@pytest.mark.parametrize("answer", ["exit 2", "echo root:x:0:0:::", "sleep 60"])
def test_a_group_is_nobodys_own_if_the_system_does_not_list_its_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o775)
    (tmp_path / "getent").write_text(
        f'#!/bin/sh\ntest "$1" = passwd || exec /usr/bin/getent "$@"\nexec {answer}\n'
    )
    (tmp_path / "getent").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    trusted_paths._is_own_group.cache_clear()
    assert why_not(str(folder)) == by_shell(str(folder)) == f"its group can write to {folder}"
    trusted_paths._is_own_group.cache_clear()


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
    found = paths_of(document)
    assert [entry for entry in entries if entry in found] == entries[:1]
    said = capfd.readouterr().err
    assert f"{tmp_path}/everybodys is not imported from" in said
    assert "everybody can write" in said
    assert "missing" not in said
    assert entries == [e for e in paths_of({**document, "has_own_files": False}) if e in entries]


def document_of(**parts: object) -> dict[str, Any]:
    """Return what a slave on another machine is told of its paths."""
    common = {"base_prefix": "", "library": [], "has_own_files": True, "cwd": "/"}
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
    assert paths_of(document)[:2] == [str(tmp_path), str(sent)]
    assert "not imported" not in capfd.readouterr().err


def test_a_slave_on_another_machine_works_in_a_folder_that_is_trusted_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "everybodys"
    folder.mkdir()
    folder.chmod(0o777)
    document = document_of(cwd=str(folder))
    assert go_to_folder_of(document) == str(tmp_path) == str(Path.cwd())
    words = f"can't work in {folder} (everybody can write to {folder}), so this slave works in"
    assert f"{words} {tmp_path}" in capfd.readouterr().err
    assert go_to_folder_of({**document, "has_own_files": False}) == str(folder) == str(Path.cwd())
