"""Scripts of ``sh`` that read, write and remove files on a host. Pure.

:func:`.scripts.plain_script` gives each of them its arguments.
"""

from __future__ import annotations

from .scripts import BEGIN_PYTHON

READ = 'test -f "$1" && test ! -L "$1" || exit 2; exec tail -c "$2" -- "$1"'
"""Say a plain file's content. Arguments: its path, how many bytes of its end."""

READ_MANY = """\
l=$1; shift; for f; do \
s=$(test -f "$f" && test ! -L "$f" && wc -c <"$f" 2>/dev/null) || s=0; test "$s" -le "$l" || s=$l; \
echo $s; test $s = 0 || tail -c "$s" -- "$f" | head -c "$s"; done"""
"""Say the size and the content of each file, for :func:`split_files`.

Arguments: how many bytes of each, their paths.
"""

WRITE = 'umask 077; set -C; head -c "$2" >"$1" && chmod "$3" -- "$1"'
"""Write a new file. Arguments: its path, size and mode; the content follows the script."""

# (dd takes from standard input what it is told, and nothing of the next file)
WRITE_MANY = """\
umask 077; set -C; m=$1; cd -- "$2" || exit 1; shift 2; while test $# -gt 0; do \
if test "$2" = 0; then : >"$1"; \
else { dd bs="$2" count=1 iflag=fullblock 2>/dev/null; } >"$1"; fi && \
chmod "$m" -- "$1" || exit 1; shift 2; done"""
"""Write new files in a folder. Arguments: their mode, the folder, the name and size of each."""

UNPACK = 'umask 077; a=$2; f=$3; set -- "$1" -m zipfile -e "$a" "$f"; ' + BEGIN_PYTHON
"""Unpack an archive. Arguments: names of Pythons, the archive's path, a folder's path."""

# private folders as in the core's private_folders, whose Python may not be there. What is done is
# done in the working folder, whatever its path is
_IS_PRIVATE = 'test -O . && case "$(ls -ld .)" in drwx--[-S]--[-T]*) ;; *) false;; esac'
MAKE_FOLDER = (
    'umask 077; test ! -e "$1" || exit 17; mkdir -- "$1" && cd -P -- "$1" || exit 1; '
    f'if {_IS_PRIVATE}; then printf "%s\\n" "$3" "$(uname -n)" >"$2" && exit; '
    'else echo "the file system there keeps no file private" >&2; fi; '
    'rm -f -- "$2"; cd -P ..; rmdir -- "$3"; exit 1'
)
"""Make a private folder; the exit code is EEXIST if something has its name.

Arguments: its path, the name of its mark, its name.
"""

REMOVE_FOLDER = (
    'test -e "$1" || test -L "$1" || exit 0; '
    f'test ! -L "$1" && cd -P -- "$1" && {_IS_PRIVATE} && test -O "$2" && test -f "$2" && '
    'test ! -L "$2" && test "$(head -n 1 "$2")" = "$3" || '
    '{ echo "it is no private folder that imp_parallel made" >&2; exit 1; }; '
    'find . -xdev -mindepth 1 ! -path "./$2" -delete; test "$(ls -A)" = "$2" || exit 1; '
    'rm -f -- "$2"; cd -P .. && exec rmdir -- "$3"'
)
"""Remove a private folder with all that is in it. Arguments as those of MAKE_FOLDER."""


def split_files(said: bytes, count: int) -> list[bytes]:
    """Return the contents of so many files, from what READ_MANY has said.

    Raises ValueError if it did not say that.
    """
    rest, found = memoryview(said), []
    for _ in range(count):
        size, is_told, _ = bytes(rest[:20]).partition(b"\n")
        if not is_told or not size.isdigit() or len(rest) <= len(size) + int(size):
            raise ValueError("a file's size or content is missing")
        begin = len(size) + 1
        found.append(bytes(rest[begin : begin + int(size)]))
        rest = rest[begin + int(size) :]
    return found
