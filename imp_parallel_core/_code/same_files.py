"""Whether a folder on a slave's machine is the one that the master has at the same path.

On a cluster, all hosts share the file systems with the folders that the master imports from. But a
host may have a folder of its own at such a path, which another user may have made, as anybody can
do below ``/tmp``. So a slave imports from a folder if it is the master's, or if only the user and
root can have made it (see :mod:`..trusted_paths`).

A folder is the master's if it has the same inode number, and if one of these holds:

- the slave is on the master's machine, and the folder is on the same device;
- it was last changed at the same time, which nobody can choose;
- it belongs to the user, and is not the root of a file system (these have the same inode numbers on
  all hosts);
- it belongs to root or to the user, and nobody else can write to it;
- it is on the file system of the folder that the script runs in, here and on the master, and that
  folder is the master's.
"""

from __future__ import annotations

import os

from .._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Fact = list[int]

_MACHINE = ""  # no path
_ABSENT = " is not there"  # the end of a reason that trusted_paths gives


def facts_of(paths: Iterable[str], cwd: str) -> dict[str, Fact]:
    """Return facts that tell folders from others at the same paths, for bootstrap documents.

    Args:
        paths: the folders. Those that are not there have no facts.
        cwd: the folder that the script runs in. It has facts, too.
    """
    facts = {_MACHINE: [_boot_number()]}
    around = _status(cwd)
    for path in (cwd, *paths):
        status = _status(path)
        if status is not None:
            is_beside = around is not None and status.st_dev == around.st_dev
            facts[path] = [status.st_ino, status.st_ctime_ns, int(is_beside), status.st_dev]
    return facts


def usable(
    paths: Iterable[str], facts: Mapping[str, Fact], cwd: str
) -> tuple[list[str], dict[str, str]]:
    """Return the paths to import from, and for each other path the reason against it.

    Args:
        paths: the paths that the master imports from.
        facts: the result of :func:`facts_of` on the master.
        cwd: the folder that the script runs in.
    """
    used, refusals = [], {}
    is_here = facts.get(_MACHINE) == [_boot_number()] != [0]
    around = _status(cwd)
    if around is not None and not _is_same(cwd, around, facts.get(cwd), None):
        around = None
    for path in paths:
        status, fact = _status(path), facts.get(path)
        is_masters = is_here and _is_the_very_one(status, fact)
        if is_masters or (status is not None and _is_same(path, status, fact, around)):
            used.append(path)
            continue
        from ..trusted_paths import why_not

        reason = why_not(path)
        if not reason or reason.endswith(_ABSENT):
            used.append(path)  # if it is not there, only the user and root can make it
        elif status is not None:
            refusals[path] = reason
    return used, refusals


def _is_the_very_one(status: os.stat_result | None, fact: Fact | None) -> bool:
    """Whether this machine, which is the master's, has the same at a path, be it nothing."""
    if status is None or fact is None:  # a container may have other files than the master
        return status is None and fact is None
    return (status.st_ino, status.st_dev) == (fact[0], fact[3])


def _is_same(
    path: str, status: os.stat_result, fact: Fact | None, around: os.stat_result | None
) -> bool:
    if fact is None or status.st_ino != fact[0]:
        return False
    if status.st_ctime_ns == fact[1] or _is_ones_own(path, status):
        return True
    return around is not None and bool(fact[2]) and status.st_dev == around.st_dev


def _is_ones_own(path: str, status: os.stat_result) -> bool:
    """Whether nobody but the user or root can have made a folder of that inode what it is."""
    if status.st_uid not in (0, os.geteuid()):
        return False
    if status.st_uid != 0 and not _is_root_of_file_system(path, status):
        return True  # others may write to it; but a second folder of that inode is not to be had
    from ..trusted_paths import who_else_writes

    return not who_else_writes(path, status)


def _is_root_of_file_system(path: str, status: os.stat_result) -> bool:
    above = _status(f"{path}/..")
    return above is None or above.st_dev != status.st_dev or above.st_ino == status.st_ino


def _boot_number() -> int:
    """Return what tells this start of this machine from all others; 0 if that is not known."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return int(file.read().strip().replace("-", ""), 16)
    except (OSError, ValueError):  # not Linux
        return 0


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
