"""A shell beside a command, which ends the command if this process is killed and cannot do so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# Its input ends without a line when this process has ended, in whatever way.
_PROGRAM = "trap '' HUP INT TERM; read -r line || kill -9 \"-$1\""

_lines: set[int] = set()


@contextlib.contextmanager
def guarded(group: int) -> Iterator[None]:
    """Have a process group killed if this process ends before the block does.

    Args:
        group: the group.
    """
    read, write = os.pipe()
    _lines.add(write)
    guardian = _spawn(read, group)
    os.close(read)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it has been killed
            os.write(write, b"\n")
        _lines.discard(write)
        os.close(write)
        if guardian is not None:
            with contextlib.suppress(ChildProcessError):  # the script waits for all its children
                os.waitpid(guardian, 0)


def _spawn(standard_input: int, group: int) -> int | None:
    null = os.devnull
    try:
        return os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _PROGRAM, "sh", str(group)],
            {},
            setpgroup=0,  # Ctrl-C is not for it
            file_actions=[
                (os.POSIX_SPAWN_DUP2, standard_input, 0),
                (os.POSIX_SPAWN_OPEN, 1, null, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, null, os.O_WRONLY, 0),
            ],
        )
    except OSError:  # at a limit of processes: it goes without
        return None


def _forget_all() -> None:
    """In a forked child: it must not keep its parent's commands alive."""
    for line in _lines:
        os.close(line)
    _lines.clear()


os.register_at_fork(after_in_child=_forget_all)
