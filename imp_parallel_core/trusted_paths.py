"""Whether another user can have made the file at a path, or can change it.

The path of the script's Python, of its modules or of its folder may exist on another machine, too,
and another user may have made it there: everybody may write to ``/tmp``. So a path is used only if
each part of it, links included, belongs to root or to the user, and nobody else can write to it. In
a folder such as ``/tmp``, where everybody may make files and change only their own (the sticky
bit), the part below must belong to root or to the user.

This module is for launchers of slaves on other machines, and for those slaves.
"""

from __future__ import annotations

import os
import stat

_LINKS = 40

# Does the same as why_not() in a POSIX shell: prints why a path ("$1") is not to be trusted, or
# nothing. It has no character that a login shell would change between single quotes.
SHELL_FUNCTION = (
    "why_not() { set -f; rest=$1; at=; links=0; me=$(id -u); mine=$(id -g); "
    "test $(id -un) = $(id -gn) || mine=none; while :; do "
    'set -- $(LC_ALL=C ls -ldn "${at:-/}" 2>/dev/null); '
    'case $3 in "") echo "$at is not there"; return;; 0|$me) ;; '
    '*) echo "$at belongs to another user"; return;; esac; '
    "case $1 in l*) links=$((links+1)); "
    'test $links -gt 40 && { echo "$at is an endless link"; return; }; '
    'to=$(readlink "$at"); rest=$to/$rest; case $to in /*) at=;; *) at=${at%/*};; esac;; '
    'd????????[tT]*) ;; ????????w*) echo "everybody can write to $at"; return;; '
    '?????w*) test $4 = $mine || { echo "its group can write to $at"; return; };; esac; '
    "while :; do case $rest in /*) rest=${rest#/};; *) break;; esac; done; "
    'test -n "$rest" || return 0; one=${rest%%/*}; rest=${rest#"$one"}; '
    "case $one in .) ;; ..) at=${at%/*};; *) at=$at/$one;; esac; done; }"
)


def why_not(path: str) -> str:
    """Return why an absolute path is not to be trusted; "" if it is."""
    rest = _parts(path)
    at, links = "", 0
    while True:
        try:
            status = os.lstat(at or "/")
            target = os.readlink(at) if stat.S_ISLNK(status.st_mode) else None
        except OSError as problem:
            return f"{at} is not there" if isinstance(problem, FileNotFoundError) else f"{problem}"
        if status.st_uid not in (0, os.geteuid()):
            return f"{at} belongs to another user"
        if target is not None:
            links += 1
            if links > _LINKS:
                return f"{at} is an endless link"
            rest = _parts(target) + rest
            at = "" if target.startswith("/") else os.path.dirname(at).rstrip("/")
        elif not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
            if status.st_mode & stat.S_IWOTH:
                return f"everybody can write to {at}"
            if status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid):
                return f"its group can write to {at}"
        if not rest:
            return ""
        one = rest.pop(0)
        at = os.path.dirname(at).rstrip("/") if one == ".." else f"{at}/{one}"


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _is_own_group(group: int) -> bool:
    """Whether a group is the private one that many systems make for each user."""
    if group != os.getegid():
        return False
    import grp
    import pwd

    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return entry.gr_name == user and set(entry.gr_mem) <= {user}
