"""The surroundings of tasks: the script's folder, ``sys.path`` and arguments.

On another machine, a path of the master's may be missing, or lead to what somebody else has put
there. So tasks work in, and import from, only folders that are the master's own or trusted.
"""

from __future__ import annotations

import errno
import os
import sys

from .._explained import explained
from .._light_typing import Any, NamedTuple
from .output import say


class Surroundings(NamedTuple):
    """The surroundings of tasks, which are like those of the script."""

    folder: str
    """The working folder."""
    sys_path: list[str]
    argv: list[str]
    """The arguments of the script."""
    slave_index: int
    """The number of the slave."""


def enter_surroundings(document: dict[str, Any]) -> Surroundings:
    """Let this process have the surroundings that a bootstrap document describes; return them."""
    sys.path[:] = paths_of(document)
    folder = go_to_folder_of(document)
    return Surroundings(folder, sys.path, document["argv"], document["index"])


def paths_of(document: dict[str, Any]) -> list[str]:
    """Return the ``sys.path`` for tasks: the master's, but with this Python's own library.

    The folders that the launch has sent follow. They are trusted, since they are in a private
    folder, as is the code of this slave. If this Python is not the master's, all of its own path
    comes last.
    """
    paths: list[str] = document["sys_path"]
    if document["has_own_files"]:
        paths = [path for path in paths if _is_trusted(path)]
    elif document["folders"]:
        from .._code.same_files import usable

        paths, refusals = usable(paths, document["folders"], document["cwd"])
        for path, reason in refusals.items():
            _say_untrusted(path, reason)
    paths = paths + document["sent_path"]
    if document["base_prefix"] == sys.base_prefix:
        return paths
    library = set(document["library"])
    merged = [path for path in paths if path not in library]
    return merged + [path for path in sys.path if path and path not in merged]


def _is_trusted(path: str) -> bool:
    """Whether a path of the master's exists here, and no other user can have made it."""
    from ..trusted_paths import why_not

    if not os.path.exists(path):
        return False
    reason = why_not(path)
    if reason:
        _say_untrusted(path, reason)
    return not reason


def _say_untrusted(path: str, reason: str) -> None:
    text = f"{path} is not imported from, since somebody else may be behind it: {reason}"
    say(explained(text, "untrusted-file", once=True))


def go_to_folder_of(document: dict[str, Any]) -> str:
    """Change to the master's folder, or to the user's home if that is not there; return which.

    The launch may have started this process elsewhere, and a login shell's profile may have changed
    the folder. It must be the very folder of the master's, or one that no other user has made.
    """
    folder: str = document["cwd"]
    try:
        os.chdir(folder)
        if refusal := _why_not_work_in(folder, document):
            raise PermissionError(errno.EPERM, refusal)
    except OSError as problem:
        reason = str(problem.strerror)
    else:
        return folder
    home = os.path.expanduser("~")
    try:
        os.chdir(home)
    except OSError:
        home = "/"
        os.chdir(home)
    say(f"can't work in {folder} ({reason}), so this slave works in {home}")
    return home


def _why_not_work_in(folder: str, document: dict[str, Any]) -> str:
    if document["has_own_files"]:
        from ..trusted_paths import why_not

        return why_not(folder)
    if document["folders"]:
        from .._code.same_files import usable

        return usable([folder], document["folders"], folder)[1].get(folder, "")
    return ""
