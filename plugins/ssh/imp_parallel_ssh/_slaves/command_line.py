"""The command that begins a bridge: one line that every login shell reads alike. Pure.

In it are only words in double quotes without ``$ ` \\ " !`` and words in single quotes without
``' ! \\`` before them: bash, csh and fish take both as they are. The bridge's program itself comes
after it, through standard input.
"""

from __future__ import annotations

import os
import re
import secrets
import sys

from imp_parallel_core.trusted_paths import SHELL_FUNCTION

VERSION = (sys.version_info[0], sys.version_info[1])

_PLAIN_PATH = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
# says its mark and its version, takes the rest from standard input if that fits; on any Python.
# (what lies in the home folder is not what is imported; os and sys are there from the beginning)
_BOOT = (
    "import os,sys;sys.path[:]=[p for p in sys.path if p];v=sys.version_info[:2];"
    "os.write(1,b'{half}'b'{other_half}%3d%3d'%v);s=b'';"
    "exec('while len(s)<{size}:s+=os.read(0,{size}-len(s))or os._exit(0)');exec(s)"
)
# the script's own Python first, if nobody else can have put it there
_LOOK_FOR = (
    f"{SHELL_FUNCTION}; "
    'if test -x "$1"; then w=$(why_not "$1"); if test -z "$w"; then exec "$1" -c "$0"; fi; '
    'echo "imp_parallel: $1 is not used here, since somebody else may be behind it: $w" >&2; '
    'echo "More: imp-parallel explain untrusted-file" >&2; fi; '
    "shift; "
    'for p in "$@"; do if command -v "$p" >/dev/null 2>&1; then exec "$p" -c "$0"; fi; done; '
    'echo "imp_parallel: there is no Python here by any of these names: $@. '
    'Let python= name one." >&2; exit 127'
)
_LINE = 'l=$(printf %b "$1"); shift; set -e; eval "$l \\"\\$@\\""'


def new_mark() -> str:
    """Return what no shell says by chance, nor by repeating the command line."""
    return secrets.token_hex(16)


def default_pythons() -> list[str]:
    """Return where a Python like this one may be on another machine, in the order to look.

    First where this one is, in case that machine has the same files or the same installation; it is
    used only if nobody else can have put it there.
    """
    in_environment = sys.prefix != sys.base_prefix
    own = sys.executable if in_environment else os.path.realpath(sys.executable)
    return [own, "python{}.{}".format(*VERSION), "python3"]


def command_line(python: str | None, mark: str, program: bytes) -> str:
    """Return the command.

    Args:
        python: a path, or a line for bash; None for a Python of this one's version.
        mark: what the command says first.
        program: what is to be sent to it.
    """
    half = len(mark) // 2
    boot = _BOOT.format(half=mark[:half], other_half=mark[half:], size=len(program))
    if python is None:
        own, *others = default_pythons()
        names = " ".join([_single_quoted(own), *others])
        return f"exec /bin/sh -c '{_LOOK_FOR}' \"{boot}\" {names}"
    if _PLAIN_PATH.fullmatch(python):
        return f'exec {python} -c "{boot}"'
    # in a login shell, which knows such as "module"
    return f"exec bash -lc '{_LINE}' bash {_octal(python)} -c \"{boot}\""


def _single_quoted(name: str) -> str:
    return f"'{name}'" if not set(name) & set("'!\\\n") else "''"


def _octal(line: str) -> str:
    """Write a line so that ``printf %b`` gives it back; in single quotes it is safe anywhere."""
    return "'" + "".join(f"\\0{byte:03o}" for byte in os.fsencode(line)) + "'"
