"""Where the sockets of a user's scripts are: a folder that nobody else can enter."""

from __future__ import annotations

import os
import pwd
import re
import stat
from pathlib import Path

from imp_parallel_core import Error, explained

SUFFIX = ".sock"
_NAME = re.compile(rf"\d+-\d+{re.escape(SUFFIX)}")  # a process and a run of it
_LONGEST_PATH = 85  # some systems allow 104 bytes for a socket, with its name


class LiveError(Error):
    """A run can't be shown, or seen, while it goes on."""

    def __init__(self, message: str) -> None:
        super().__init__(explained(message, "runs-not-seen"))


def default_folder(uid: int | None = None) -> Path:
    """Return the folder of a user, by default of this one.

    It is always in ``/tmp``: a script and a terminal may have different ``TMPDIR`` or
    ``XDG_RUNTIME_DIR``, and a login session's own folder goes with the session.
    """
    return Path("/tmp") / f"imp-parallel-{os.getuid() if uid is None else uid}"  # noqa: S108  # see checked()


def made(folder: Path) -> Path:
    """Make the folder if it is not there; return its path. Raises LiveError, OSError."""
    if len(os.fsencode(folder)) > _LONGEST_PATH:
        raise LiveError(f"{folder} is too long for a socket: choose a shorter path")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    return checked(folder)


def checked(folder: Path) -> Path:
    """Return the path of a folder that is this user's own and nobody else's.

    Raises LiveError if somebody else has made it, or could enter it; FileNotFoundError.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise LiveError(f"{folder} is no folder: remove it, so that runs can be shown")
    if found.st_uid != os.getuid():
        raise LiveError(
            f"{folder} belongs to {user_name(found.st_uid)}: only that user can see these runs"
        )
    if found.st_mode & 0o077:
        raise LiveError(f"others can enter {folder}: chmod 700 {folder}, so that runs can be shown")
    return folder


def sockets_in(folder: Path) -> list[Path]:
    """Return the paths of the sockets of runs, and of no other program's that are there.

    Raises LiveError, FileNotFoundError, as :func:`checked`.
    """
    return sorted(path for path in checked(folder).iterdir() if _NAME.fullmatch(path.name))


def user_name(uid: int) -> str:
    """Return the name of a user, or the number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def owner_of_process(pid: int) -> str:
    """Return whose process that is; "" if it is this user's, or if there is none."""
    try:
        uid = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116  # no path is needed
    except OSError:
        return ""
    return "" if uid == os.getuid() else user_name(uid)
