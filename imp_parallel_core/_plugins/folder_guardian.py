"""A shell beside a slave, which leaves nothing of the slave when the process that keeps it ends.

:class:`FolderGuardian` is sent, as :mod:`.kept_slave` is, to machines where nothing of this package
is installed, so this file needs nothing but the standard library.
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from pathlib import Path

_FILES = ("slave.zip", "output")
_REMOVED_S = 10.0  # for the shell to remove the folder; after that, the shell does so alone
_MADE = b"made\n"
_ENDED = b"ended\n"

# The shell makes the folder itself: whoever is killed then, and whenever, the shell knows of it.
# It is no child of the process that keeps the slave, since Ray kills the children of an actor that
# it ends. Each line of its input names the process group to kill; an empty line names none. The
# input ends when that process has ended, in whatever way. The folder is removed from within, so
# that no other one of its name is emptied.
_PROGRAM = """\
exec 3<&0
{
    trap '' HUP INT TERM PIPE
    umask 077
    folder=$1
    shift
    mkdir "$folder" && cd "$folder" || exit 1
    echo made
    exec 2> /dev/null
    group=
    while read -r line <&3; do group=$line; done
    [ -z "$group" ] || kill -9 "-$group"
    rm -f "$@"
    cd / && rmdir "$folder"
    echo ended
} &
"""


class FolderGuardian:
    """A new folder for a slave's files, and a shell that removes it when this process ends.

    Only its owner can look into the folder, and only the files ``slave.zip`` and ``output`` may be
    put there. The shell is not ended by a signal that can be ignored, or one to this process's
    group.

    Raises OSError if there is no folder or no shell.
    """

    path: str
    """The path of the folder."""

    def __init__(self) -> None:
        self.path = f"{tempfile.gettempdir()}/imp_parallel-{os.urandom(8).hex()}"
        theirs, self._lines = os.pipe()
        self._answers, answers = os.pipe()
        self._said = b""
        try:
            self._start(theirs, answers)
            while not self._said.endswith(_MADE) and self._hear():
                pass
            if not self._said.endswith(_MADE):
                words = self._said.decode(errors="replace").strip()
                raise OSError(f"the folder of a slave can't be made: {words}")
        except BaseException:
            os.close(self._lines)
            os.close(self._answers)
            raise

    def _start(self, lines: int, answers: int) -> None:
        """Start the shell, with the other ends of the pipes, and close these here."""
        try:
            subprocess.run(
                ["/bin/sh", "-c", _PROGRAM, "sh", self.path, *_FILES],
                stdin=lines,
                stdout=answers,
                stderr=answers,
                start_new_session=True,
                check=False,
            )
        finally:
            os.close(lines)
            os.close(answers)

    def watch(self, group: int) -> None:
        """Have a process group killed, too, when this process ends. Raises OSError."""
        os.write(self._lines, b"%d\n" % group)

    def forget_group(self) -> None:
        """Have the group not killed: it has ended, and its number will be another group's."""
        try:
            os.write(self._lines, b"\n")
        except OSError:
            pass  # the shell has been killed

    def end(self) -> None:
        """Have the folder removed now, and the group killed if there is one; wait for that.

        Called once.
        """
        os.close(self._lines)
        try:
            deadline = time.monotonic() + _REMOVED_S
            while self._is_heard_by(deadline):
                if not self._hear():
                    if not self._said.endswith(_ENDED):
                        self._remove()
                    break
        finally:
            os.close(self._answers)

    def _hear(self) -> bool:
        """Wait for words of the shell's; return whether it goes on."""
        more = os.read(self._answers, 4096)
        self._said += more
        return bool(more)

    def _is_heard_by(self, deadline: float) -> bool:
        waiter = select.poll()  # unlike select(), it takes any descriptor
        waiter.register(self._answers, select.POLLIN)
        return bool(waiter.poll(max(0.0, deadline - time.monotonic()) * 1000))

    def _remove(self) -> None:
        """Remove the folder in the place of a shell that was killed."""
        for name in _FILES:
            Path(self.path, name).unlink(missing_ok=True)
        try:
            Path(self.path).rmdir()
        except FileNotFoundError:
            pass
