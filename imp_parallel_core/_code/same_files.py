"""Whether what is at a path on a slave's machine is what the master has there.

On a cluster, the folders that the master imports from are there on each host, on file systems that
all share. A host may have a folder of its own at such a path, and another user may have made it, as
anybody can do below ``/tmp``. So a slave imports from a folder if it is the master's own, or if
only the user and root can have made it (see :mod:`.trusted_paths`).

A folder is the master's own if it has the same inode, and one of these holds: it was last changed
at the same time, which nobody can choose; it belongs to the user or to root; or it is on one file
system with the folder that the script runs in, there and on the master, and that folder is the
master's own.
"""

from __future__ import annotations

import os

from .._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Fact = list[int]

_ABSENT = " is not there"  # as trusted_paths says it


def facts_of(paths: Iterable[str], cwd: str) -> dict[str, Fact]:
    """Return what tells folders from others of the same path: for bootstrap documents.

    Args:
        paths: the folders; those that are not there have no facts.
        cwd: the folder that the script runs in; it is described, too.
    """
    facts = {}
    around = _status(cwd)
    for path in (cwd, *paths):
        status = _status(path)
        if status is not None:
            is_beside = around is not None and status.st_dev == around.st_dev
            facts[path] = [status.st_ino, status.st_ctime_ns, int(is_beside)]
    return facts


def usable(
    paths: Iterable[str], facts: Mapping[str, Fact], cwd: str
) -> tuple[list[str], dict[str, str]]:
    """Return the paths to import from, and why others are not.

    Args:
        paths: those that the master imports from.
        facts: what it says of them.
        cwd: the folder that the script runs in.
    """
    used, refusals = [], {}
    around = _status(cwd)
    if around is not None and not _is_same(around, facts.get(cwd), None):
        around = None
    for path in paths:
        status = _status(path)
        if status is not None and _is_same(status, facts.get(path), around):
            used.append(path)
            continue
        from ..trusted_paths import why_not

        reason = why_not(path)
        if not reason or reason.endswith(_ABSENT):
            used.append(path)  # one that is not there can only be made by the user or root
        elif status is not None:
            refusals[path] = reason
    return used, refusals


def _is_same(status: os.stat_result, fact: Fact | None, around: os.stat_result | None) -> bool:
    if fact is None or status.st_ino != fact[0]:
        return False
    if status.st_ctime_ns == fact[1] or status.st_uid in (0, os.geteuid()):
        return True
    return around is not None and bool(fact[2]) and status.st_dev == around.st_dev


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
