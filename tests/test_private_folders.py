"""A private folder is removed with all that is in it; nothing else is, whatever path is given.

What removes is run as a user who owns nothing but a scratch folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from imp_parallel_core.private_folders import with_private_folders
from tests.support.as_root import as_me, as_root, can_be_root
from tests.support.ordinary_user import OrdinaryUser, ordinary_user

REMOVING = """
made = private_folders.make_private_folder(scratch, ".imp_parallel-")
os.mkdir(made + "/below")
open(made + "/below/file", "w").close()
path = made
{change}
try:
    private_folders.remove_private_folder(path, ".imp_parallel-")
except PermissionError as problem:
    print(problem.strerror)
assert os.path.exists(made + "/below/file") and os.path.lexists(path)
"""

OTHERS = {
    "one without a mark": "os.unlink(made + '/' + private_folders.MARK)",
    "one that others may look into": "os.chmod(made, 0o750)",
    "a link to one": "path = scratch + '/.imp_parallel-link'; os.symlink(made, path)",
    "a copy of one": (
        "path = scratch + '/.imp_parallel-copy'; shutil.copytree(made, path); os.chmod(path, 0o700)"
    ),
    "one with a mark that is a link": (
        "mark = made + '/' + private_folders.MARK; os.rename(mark, scratch + '/mark');"
        "os.symlink(scratch + '/mark', mark)"
    ),
    "one whose mark is a FIFO": (
        "mark = made + '/' + private_folders.MARK; os.unlink(mark); os.mkfifo(mark)"
    ),
    "one of another prefix": (
        "made = path = private_folders.make_private_folder(scratch, 'run');"
        "os.mkdir(path + '/below'); open(made + '/below/file', 'w').close()"
    ),
    "the inside of one": "path = made + '/.'",
    "a folder in one": "path = made + '/below'",
    "what a folder in one is in": "path = made + '/below/..'",
    "the folder that one is in": "path = scratch",
    "a file in one": "path = made + '/below/file'",
}


@pytest.fixture(scope="module")
def user() -> Iterator[OrdinaryUser]:
    with ordinary_user() as made:
        yield made


def run(user: OrdinaryUser, script: str, mounting: str = "") -> str:
    """Run a script as an ordinary user; return what it printed."""
    scratch = f"scratch = {str(user.scratch)!r}\n"
    program = b"import os, shutil, stat, sys\nfrom imp_parallel_core import private_folders\n"
    whole = with_private_folders(program) + (scratch + script).encode()
    command = [*user.prefix, user.python, "-"]
    if mounting:
        command = [*(user.prefix or as_me()), user.python, "-"]
        command = as_root("unshare", "--mount", "sh", "-ec", mounting, "sh", *command)
    done = subprocess.run(command, input=whole, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_what_is_no_private_folder_is_not_removed(user: OrdinaryUser, change: str) -> None:
    said = run(user, REMOVING.format(change=change))
    assert said == "it is no private folder that imp_parallel made\n"


def test_a_private_folder_is_removed_with_all_that_is_in_it(user: OrdinaryUser) -> None:
    run(
        user,
        "made = private_folders.make_private_folder(scratch, '.imp_parallel-')\n"
        "assert stat.S_IMODE(os.stat(made).st_mode) == 0o700\n"
        "assert private_folders.was_made_here(private_folders.open_private_folder(made))\n"
        "os.makedirs(made + '/a/b/c')\n"
        "os.mkfifo(made + '/a/fifo')\n"
        "open(made + '/a/b/\\udcff\\n', 'w').close()\n"
        "private_folders.make_private_folder(made, 'another')\n"
        "assert private_folders.remove_private_folder(made)\n"
        "assert not os.path.lexists(made)\n"
        "assert private_folders.remove_private_folder(made), 'it has gone already'\n",
    )


def test_what_links_in_a_private_folder_lead_to_stays(user: OrdinaryUser) -> None:
    run(
        user,
        "made = private_folders.make_private_folder(scratch, '.imp_parallel-')\n"
        "os.mkdir(scratch + '/others')\n"
        "open(scratch + '/others/file', 'w').close()\n"
        "os.symlink(scratch + '/others', made + '/link')\n"
        "os.link(scratch + '/others/file', made + '/file')\n"
        "assert private_folders.remove_private_folder(made)\n"
        "assert os.listdir(scratch + '/others') == ['file']\n",
    )


def test_what_can_not_be_removed_stays_in_a_folder_that_can_be_removed_later(
    user: OrdinaryUser,
) -> None:
    run(
        user,
        "made = private_folders.make_private_folder(scratch, '.imp_parallel-')\n"
        "os.mkdir(made + '/closed')\n"
        "open(made + '/closed/file', 'w').close()\n"
        "os.chmod(made + '/closed', 0o500)\n"
        "assert not private_folders.remove_private_folder(made)\n"
        "os.chmod(made + '/closed', 0o700)\n"
        "assert private_folders.remove_private_folder(made)\n"
        "assert not os.path.lexists(made)\n",
    )


def test_a_place_that_keeps_no_file_private_is_not_used(user: OrdinaryUser) -> None:
    run(
        user,
        "mkdir = os.mkdir\n"  # a stand-in for a file system without modes, which needs a device
        "os.mkdir = lambda path, mode: (mkdir(path), os.chmod(path, 0o777))\n"
        "before = os.listdir(scratch)\n"
        "try: private_folders.make_private_folder(scratch, '.imp_parallel-')\n"
        "except PermissionError as problem: assert 'keeps no file private' in str(problem)\n"
        "else: raise AssertionError\n"
        "assert os.listdir(scratch) == before\n",
    )


@pytest.fixture
def mounting(user: OrdinaryUser) -> str:
    """Return the beginning of a line for sh that mounts; what follows is run in its namespace."""
    if not can_be_root():
        pytest.skip("NOT TESTED with mount points: only root can mount")
    return f"cd {user.scratch}; "


def test_what_is_mounted_in_a_private_folder_stays(user: OrdinaryUser, mounting: str) -> None:
    run(
        user,
        "made = private_folders.make_private_folder(scratch, '.imp_parallel-mounted-')\n"
        "os.mkdir(made + '/mounted')\n"
        "os.mkdir(scratch + '/precious')\n"
        "open(scratch + '/precious/file', 'w').close()\n",
    )
    run(
        user,
        "(made,) = [name for name in os.listdir(scratch) if 'mounted-' in name]\n"
        "assert os.listdir(scratch + '/' + made + '/mounted') == ['file']\n"
        "assert not private_folders.remove_private_folder(scratch + '/' + made)\n"
        "assert os.listdir(scratch + '/precious') == ['file']\n",
        mounting + 'mount --bind precious .imp_parallel-mounted-*/mounted; exec "$@"',
    )


def test_a_mount_point_is_not_removed_whatever_is_mounted_there(
    user: OrdinaryUser, mounting: str
) -> None:
    name = run(
        user,
        "made = private_folders.make_private_folder(scratch, '.imp_parallel-twice-')\n"
        "open(made + '/file', 'w').close()\n"
        "os.makedirs(scratch + '/elsewhere/' + os.path.basename(made))\n"
        "print(os.path.basename(made))\n",
    ).strip()
    said = run(
        user,
        f"path = scratch + '/elsewhere/{name}'\n"
        "assert 'file' in os.listdir(path)\n"
        "try: private_folders.remove_private_folder(path)\n"
        "except PermissionError: print('refused')\n"
        "assert 'file' in os.listdir(path)\n",
        mounting + f'mount --bind {name} elsewhere/{name}; exec "$@"',
    )
    assert said == "refused\n"


def test_a_program_that_does_not_import_it_can_not_be_joined_with_it() -> None:
    with pytest.raises(ValueError, match="does not import"):
        with_private_folders(b"import sys\n")
