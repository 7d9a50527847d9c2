"""Whether another user can have made the file at a path, or can change it.

The path of the script's Python, of its modules or of its folder may exist on another machine, too,
and another user may have made it there: everybody may write to ``/tmp``. So a path is used only if
each part of it, links included, belongs to root or to the user, and nobody else can write to it. A
folder such as ``/tmp``, where everybody may make files and change only their own (the sticky bit),
may be on the way to a part that belongs to root or to the user. It is not trusted itself.

A folder that its group can write to is trusted if nobody but the user is in that group, as many
systems make one for each user, and if the folder has no access list (ACL). The system must be able
to list its users within a few seconds, and the user must be among them: otherwise nobody knows who
is in the group.

This module is for launchers of slaves on other machines, and for those slaves.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import cache

_LINKS = 40
_LIST_S = 5.0

# Does the same as why_not() in a POSIX shell: prints why a path ("$1") is not to be trusted, or
# nothing. It has no character that a login shell would change between single quotes. (Only GNU's ls
# is known to show an access list, by a "+".)
SHELL_FUNCTION = (
    # own_group number: whether nobody but the user is in that group
    "own_group() { user=$(id -un); gid=$(id -g); "
    'test "$1" = "$gid" && test "$user" = "$(id -gn)" || return 1; '
    "case $(ls --version 2>/dev/null) in *GNU*) ;; *) return 1;; esac; "
    'all=$(getent group "$gid") || return 1; '
    'case ${all##*:} in ""|"$user") ;; *) return 1;; esac; '
    "all=$(timeout 5 getent passwd 2>/dev/null) || return 1; "
    'all=$(printf "%s" "$all" | cut -d: -f3,4 | grep ":$gid$" | sort -u); '
    'test "$all" = "$(id -u):$gid"; }; '
    "why_not() { set -f; rest=$1; at=; links=0; loose=; me=$(id -u); while :; do "
    'set -- $(LC_ALL=C ls -ldn "${at:-/}" 2>/dev/null); '
    'case $3 in "") echo "${loose:-$at is not there}"; return;; 0|$me) ;; '
    '*) echo "$at belongs to another user"; return;; esac; loose=; '
    "case $1 in l*) links=$((links+1)); "
    'test $links -gt 40 && { echo "$at is an endless link"; return; }; '
    'to=$(readlink "$at"); rest=$to/$rest; case $to in /*) at=;; *) at=${at%/*};; esac;; '
    '????????w*) loose="everybody can write to ${at:-/}";; '
    '?????w*+) loose="others may be able to write to ${at:-/} (it has an access list)";; '
    '?????w*) own_group $4 || loose="its group can write to ${at:-/}";; esac; '
    "while :; do case $rest in /*) rest=${rest#/};; *) break;; esac; done; "
    'if test -n "$loose"; then case $1,$rest in d????????[tT],?*|d????????[tT]?,?*) ;; '
    '*) echo "$loose"; return;; esac; fi; '
    'test -n "$rest" || return 0; one=${rest%%/*}; rest=${rest#"$one"}; '
    "case $one in .) ;; ..) at=${at%/*};; *) at=$at/$one;; esac; done; }"
)


def why_not(path: str) -> str:
    """Return why an absolute path is not to be trusted; "" if it is."""
    rest = _parts(path)
    at, links, loose = "", 0, ""
    while True:
        try:
            status = os.lstat(at or "/")
            target = os.readlink(at) if stat.S_ISLNK(status.st_mode) else None
        except FileNotFoundError:
            return loose or f"{at} is not there"  # anybody could make it in a folder such as /tmp
        except OSError as problem:
            return f"{problem}"
        if status.st_uid not in (0, os.geteuid()):
            return f"{at} belongs to another user"
        loose = ""
        if target is not None:
            links += 1
            if links > _LINKS:
                return f"{at} is an endless link"
            rest = _parts(target) + rest
            at = "" if target.startswith("/") else os.path.dirname(at).rstrip("/")
            continue
        loose = who_else_writes(at or "/", status)
        is_on_the_way = rest and stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if loose and not is_on_the_way:
            return loose
        if not rest:
            return ""
        one = rest.pop(0)
        at = os.path.dirname(at).rstrip("/") if one == ".." else f"{at}/{one}"


def who_else_writes(path: str, status: os.stat_result) -> str:
    """Return who but its owner can write to what is at a path, as a sentence; "" if nobody can.

    Args:
        path: of a file or a folder, not of a link.
        status: of that.
    """
    if status.st_mode & stat.S_IWOTH:
        return f"everybody can write to {path}"
    if not status.st_mode & stat.S_IWGRP:
        return ""  # then nobody in an access list can either
    if _has_access_list(path):
        return f"others may be able to write to {path} (it has an access list)"
    return "" if _is_own_group(status.st_gid) else f"its group can write to {path}"


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _has_access_list(path: str) -> bool:
    if not hasattr(os, "getxattr"):
        return True  # on systems other than Linux it can't be known
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError as problem:
        return problem.errno not in (errno.ENODATA, errno.ENOTSUP)


@cache
def _is_own_group(group: int) -> bool:
    """Whether nobody but the user is in a group."""
    if group != os.getegid():
        return False
    import grp
    import pwd

    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    if entry.gr_name != user or set(entry.gr_mem) - {user}:
        return False
    return _users_with(group) == {os.geteuid()}


def _users_with(group: int) -> set[int]:
    """Return the users whose primary group it is; none if the system does not list its users.

    Another process lists them: a directory on a server may hold very many, or not answer.
    """
    import subprocess

    command = ["getent", "passwd"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIST_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return set()
    entries = (line.split(b":") for line in done.stdout.split(b"\n"))
    return {int(entry[2]) for entry in entries if entry[3:4] == [b"%d" % group]}
