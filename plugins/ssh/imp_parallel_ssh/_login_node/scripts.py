"""Scripts for a host's ``sh``: what a command needs, as one line of bytes. Pure.

The command line that starts one is always the same, words that every login shell reads alike. The
script itself comes through standard input, as does what the command is to read: nobody sees either
in a list of processes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

COMMAND = "exec sh -c 'IFS= read -r l; eval \"$l\"'"
NO_FOLDER, NO_PROGRAM = 126, 127

PYTHONS = " ".join(["python3", *(f"python3.{minor}" for minor in range(14, 5, -1))])
BEGIN_PYTHON = (
    'p=$1; shift; for c in $p; do if command -v "$c" >/dev/null 2>&1; then exec "$c" "$@"; fi; '
    'done; echo "there is no Python here by any of these names: $p" >&2; exit 127'
)
"""A script that runs any Python 3: its first argument is their names, the others are Python's."""

_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_OF_A_SHELL = {b"PWD", b"OLDPWD", b"SHLVL", b"_", b"SHELL", b"SSH_CLIENT", b"SSH_CONNECTION"}
# a newline can't be in the line, so it is in a variable
_NEWLINE = b"n=$(printf '\\nx'); n=${n%x}; "


def quote(text: str | bytes) -> bytes:
    """Return text as one word of a script."""
    data = os.fsencode(text)
    if b"\0" in data:
        raise ValueError("no word of a command can hold a NUL")
    return b"'" + data.replace(b"'", b"'\\''").replace(b"\n", b"'\"$n\"'") + b"'"


def run_script(
    argv: Sequence[str],
    mark: str,
    *,
    environment: Mapping[bytes, bytes],
    cwd: str | None = None,
    input_bytes: int = 0,
) -> bytes:
    """Return the script that runs a command; its input, of so many bytes, follows the script.

    It says the mark and its own process's number before, so that what a shell's start-up files say
    can be told from what the command says; and afterwards, in the errors, the mark and the exit
    code: what the command has started may keep the output open, and not every client of SSH can
    tell all exit codes. The process leads the group of all that it starts.
    """
    folder = b"" if cwd is None else b"cd -- %s || exit %d; " % (quote(cwd), NO_FOLDER)
    program = b"command -v -- %s >/dev/null || exit %d; " % (quote(argv[0]), NO_PROGRAM)
    told = mark.encode()
    marks = b"printf '%%s %%s\\n' %s $$; printf '%%s\\n' %s >&2; " % (told, told)
    command = b" ".join(map(quote, argv))
    if input_bytes:
        # (the end of standard input can't be told alone)
        command = b"head -c %d | %s" % (input_bytes, command)
    else:
        command += b" </dev/null"
    end = b"; c=$?; printf '%%s %%s\\n' %s $c >&2; exit $c\n" % told
    return _NEWLINE + _exports(environment) + folder + program + marks + command + end


def plain_script(
    script: str, mark: str, *arguments: str, environment: Mapping[bytes, bytes] | None = None
) -> bytes:
    """Return a script of our own that has arguments; its input follows it."""
    words = b" ".join(map(quote, arguments))
    told = mark.encode()
    marks = b"printf '%%s %%s\\n' %s $$; printf '%%s\\n' %s >&2; " % (told, told)
    begin = _NEWLINE + _exports(environment or {}) + b"set -- %s; " % words
    return begin + marks + script.encode() + b"\n"


def environment_script(mark: str) -> bytes:
    """Return the script that says what the environment is, and what it is in a login shell."""
    # (by its path: what the login shell has set may lead to no program at all)
    says = f"echo {mark}; $e -0; echo {mark}"
    # a csh is one for login only if it has no other option; it reads commands
    line = (
        f"e=$(command -v env); {says}; s=${{SHELL:-/bin/sh}}; case $s in "
        f'*csh) echo "{says}" | "$s" -l;; *) "$s" -l -c "{says}" </dev/null;; esac'
    )
    return line.encode() + b"\n"


def login_environment(output: bytes, mark: str) -> dict[bytes, bytes]:
    """Return what a login shell has set, from the output of :func:`environment_script`.

    Raises ValueError if it did not say so.
    """
    parts = output.split(mark.encode())
    if len(parts) < 5:
        raise ValueError("the login shell did not say what its environment is")
    plain, login = _variables(parts[1]), _variables(parts[3])
    return {
        name: value
        for name, value in login.items()
        if plain.get(name) != value and _NAME.fullmatch(name) and name not in _OF_A_SHELL
    }


def _variables(block: bytes) -> dict[bytes, bytes]:
    entries = (entry.partition(b"=") for entry in block.strip(b"\n").split(b"\0") if entry)
    return {name: value for name, _, value in entries}


def _exports(environment: Mapping[bytes, bytes]) -> bytes:
    return b"".join(b"export %s=%s; " % (name, quote(value)) for name, value in environment.items())


class Said(NamedTuple):
    """The output of a script: that of its command, without that of start-up files."""

    pid: int | None
    """The process that leads the command's group; None if it did not come so far."""
    stdout: bytes
    stderr: bytes
    exit_code: int | None
    """The command's, as :func:`run_script` tells it; None if the script did not come so far."""


def told_apart(stdout: bytes, stderr: bytes, mark: str) -> Said:
    """Leave out what start-up files have said before the command, and what is said of its end."""
    told = mark.encode()
    before, found, after = stdout.partition(told + b" ")
    digits, _, rest = after.partition(b"\n")
    noise, is_there, errors = stderr.partition(told + b"\n")
    if not found or not digits.isdigit():
        return Said(None, before, stderr, None)
    if not is_there:
        return Said(int(digits), rest, noise, None)
    end = end_told(errors, mark)
    if end is None:
        return Said(int(digits), rest, errors, None)
    return Said(int(digits), rest, errors[: end.start()] + errors[end.end() :], int(end[1]))


def redirection(said: Said, mark: str) -> str:
    """Return how start-up files have sent the output of the shell elsewhere; "" if they have not.

    Args:
        said: what :func:`told_apart` has returned.
        mark: the mark of the script.
    """
    told = mark.encode() + b"\n"  # is said in the errors
    if said.pid is not None and said.stdout.startswith(told):
        how = "join standard error to standard output (as exec 2>&1 does)"
    elif said.pid is None and told in said.stderr:
        how = "send standard output elsewhere (as exec >&2 or exec >/dev/null does)"
    else:
        return ""
    advice = "Let them do so only in a shell that somebody types to"
    return f"the login shell's start-up files {how}. {advice}"


def end_told(stderr: bytes | bytearray, mark: str, begin: int = 0) -> re.Match[bytes] | None:
    """Return where the exit code is told, and in its group the code; look from ``begin`` on."""
    return re.compile(rb"%s (\d+)\n" % mark.encode()).search(stderr, begin)
