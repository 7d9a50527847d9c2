"""The lines of bash that keep other users out before a job starts a slave.

They open the slave's output, and make sure that the Python and the package that the job starts are
the master's own. ``$output`` and ``$folder``, the folder with the documents, are set before them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from imp_parallel_core import Bootstrap
from imp_parallel_core.trusted_paths import SHELL_FUNCTION

from ._quoting import quote

# The file at the output's path is examined before it is opened, since opening a link or a FIFO has
# effects; and the open file is examined before anything is written, since somebody may have put it
# there in between. (On some file systems a user's files belong to another user, and so does the
# folder with the documents.) One call of stat answers all questions, since each call takes a while.
_OPEN_OUTPUT = """\
refuse() {{ echo "imp_parallel: $output $1: nothing is written to it" >&2; exit 1; }}
[[ -L $output || ( -e $output && ! -f $output && $output != /dev/null ) ]] &&
    refuse 'is no plain file'
exec 3<>"$output" || exit 1
facts=($(stat -c '%h %u %i,%s,%Y,%Z' - "$folder"{paths} <&3 2>/dev/null))
if [[ $output != /dev/null ]]; then
    [[ ! -L $output && -f /dev/fd/3 && $output -ef /dev/fd/3 ]] || refuse 'is no plain file'
    [[ -O /dev/fd/3 || ${{facts[1]-}} == "${{facts[4]--}}" ]] || refuse 'belongs to another user'
    [[ ${{facts[0]-1}} == 1 ]] || refuse 'has other names (hard links)'
fi
exec >>/dev/fd/3 2>&1 3>&- || exit 1
"""
_CHECK_PATHS = """\
{why_not}
check() {{
    [[ " ${{facts[*]}} " == *" $2 "* || ! -e $1 ]] && return
    local why; why=$(why_not "$1")
    [[ $why ]] || return
    echo "imp_parallel: $1 is not used on $HOSTNAME: it is another file than the script's," \\
        "and somebody else may be behind it: $why. Put the script's Python and its packages on a" \\
        'file system that the execution hosts share, or name a Python there with python='
    echo 'More: imp-parallel explain untrusted-file'
    exit 1
}}
{checks}
"""


def masters_files(bootstrap: Bootstrap) -> Mapping[str, str]:
    """Return the files of this machine that a job starts, with facts that tell each from others.

    The facts are the inode, the size, and when the content and the inode were changed. The last one
    can't be chosen, so nobody can make a file that has all facts in common with the master's.
    """
    if bootstrap.has_own_files:
        return {}  # these are no files of this machine
    package = find_spec("imp_parallel_core")
    paths = [sys.executable] if bootstrap.python == sys.executable else []
    if package is not None and package.origin is not None:
        paths.append(os.path.realpath(package.origin))
    return {path: _facts(path) for path in paths}


def _facts(path: str) -> str:
    try:
        status = os.lstat(path)
    except OSError:
        return "-"
    seconds = f"{int(status.st_mtime)},{int(status.st_ctime)}"
    return f"{status.st_ino},{status.st_size},{seconds}"


def safe_start(files: Mapping[str, str]) -> str:
    """Return the lines.

    Args:
        files: what :func:`masters_files` returns.
    """
    paths = "".join(f" {quote(path)}" for path in files)
    lines = _OPEN_OUTPUT.format(paths=paths)
    if files:
        checks = "\n".join(f"check {quote(path)} {facts}" for path, facts in files.items())
        lines += _CHECK_PATHS.format(why_not=SHELL_FUNCTION, checks=checks)
    return lines
