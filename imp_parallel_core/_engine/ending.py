"""The end of an engine, and what those who call the engine after it are told."""

from __future__ import annotations

import threading
import time

from .._errors import ClosedError, Error

_CLOSED = "this Manager has been closed"
_FORKED = "this Manager belongs to the process that made it; a forked child needs its own"


class Ending:
    """How one engine has ended, if it has. Any thread may look."""

    def __init__(self) -> None:
        self.why = ""
        """Why :meth:`check` raises; empty while it does not."""
        self.words = ""
        """The same in the words of a ``repr``: closed, failed, or of another process."""
        self.at: float | None = None
        """When the engine's thread began to end everything; None if it has not."""
        self.is_forked = False
        """Whether this process is a child of the engine's."""
        self.leaves_readers = False
        """Whether threads that read or add tasks are to stand still, at the interpreter's end.

        None but daemon threads are left then. They are stopped wherever they are; an error, which
        nobody would catch, would only put a traceback behind all that the script has printed.
        """

    def check(self) -> None:
        """Raise ClosedError if the engine has been closed, or belongs to this process's parent."""
        if self.why:
            if self.leaves_readers and threading.current_thread() is not threading.main_thread():
                threading.Event().wait()  # until the process is gone
            raise ClosedError(self.why)

    def close(self) -> None:
        """The user, or the interpreter's end, has asked for the end."""
        self.why, self.words = _CLOSED, "closed"

    def fork(self) -> None:
        """This process is a forked child, and the parent goes on."""
        self.is_forked = True
        self.why, self.words = _FORKED, "of another process"

    def come(self, failure: Error | None) -> Error:
        """The engine's thread ends, by a failure or as it was asked; return what readers get."""
        self.at = time.monotonic()
        error = failure or ClosedError(_CLOSED)
        self.why, self.words = str(error), "closed" if failure is None else "failed"
        return error
