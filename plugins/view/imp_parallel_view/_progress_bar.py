"""The progress bar, an observer."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TextIO, TypeVar

from imp_parallel_core import Event, RunBegan, RunEnded, hookimpl

from ._model import RunModel
from ._streams import is_terminal

_STOP_S = 2.0  # for a terminal that takes no text
_Drawn = TypeVar("_Drawn")


class ProgressBar:
    """Shows how far a run is: ``Manager(plugins=[ProgressBar()])``.

    On a terminal and in a notebook, a block shows a bar for each context, how many tasks are done,
    failed, running and waiting, how many end in a second, how long the rest takes once that can be
    told, and how many slaves are working, idle, starting, queued (and why) or lost. What the script
    prints, and what is logged, appears above. If the output is neither, one line is written when
    the run has ended.

    Args:
        file: where to draw; by default ``sys.stderr``, so that what the script prints can go to
            a file or to another program meanwhile.

    A bar can be used for one Manager after another, and for one at a time. The bars of several
    Managers share a terminal.

    Raises TypeError if the file is nothing that text can be written to.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        if file is not None and not callable(getattr(file, "write", None)):
            raise TypeError(
                f"ProgressBar(file={file!r}): it must be a stream, such as sys.stdout, or None for "
                "sys.stderr"
            )
        self._file = file
        self._lock = threading.Lock()
        self._one_run = threading.Lock()
        self._model = RunModel()
        self._shown = _Shown()
        # made before any Manager has the bar, and so called after that Manager is closed
        weakref.finalize(self, self._shown.stop_at_exit)

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        """Take note of events. Called by the core, in a thread of its own."""
        for event in (event for event in events if type(event) is RunBegan):
            self._begin(event)
        with self._lock:
            self._model.tell(events)
        if any(type(event) is RunEnded for event in events):
            self._end()

    def _begin(self, event: RunBegan) -> None:
        if not self._one_run.acquire(blocking=False):  # each Manager calls this in its own thread
            raise RuntimeError("a ProgressBar shows one run at a time: give each Manager its own")
        self._model = RunModel()
        self._shown.start(self._new_display())

    def _end(self) -> None:
        if self._shown.stop():
            self._one_run.release()

    def _new_display(self) -> _Display:
        if self._file is None and _is_notebook():
            from ._notebook import NotebookBlock, block_as_html

            return NotebookBlock(partial(self._draw, block_as_html))
        file = self._file or sys.stderr
        if is_terminal(file):
            from ._drawing import block
            from ._terminal import TerminalPart

            return TerminalPart(file, partial(self._draw, block))
        return _LastLine(file, self._model)

    def _draw(self, drawing: Callable[[RunModel, float], _Drawn]) -> _Drawn:
        with self._lock:
            return drawing(self._model, time.monotonic())


class _Display(Protocol):
    """Where the block is drawn."""

    def start(self) -> None:
        """Draw it for the first time."""

    def stop(self) -> None:
        """Draw it for the last time."""


class _Shown:
    """What shows the run that goes on: it is stopped at the end of the run, which may come late.

    A Ctrl-C can end the closing of a Manager, and another the waiting for its observers. Then the
    interpreter may end first, and must not leave text of the script unseen.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._display: _Display | None = None
        self._changing = threading.Lock()

    def start(self, display: _Display) -> None:
        """Begin to show a run."""
        with self._changing:
            display.start()
            self._display = display

    def stop(self) -> bool:
        """Show it no more; return whether it was shown."""
        with self._changing:
            display, self._display = self._display, None
            if display is not None:
                display.stop()
            return display is not None

    def stop_at_exit(self) -> None:
        """Stop, or wait for another thread to do so; not in a fork, which has no such thread."""
        if os.getpid() == self._process and self._changing.acquire(timeout=_STOP_S):
            self._changing.release()
            self.stop()


class _LastLine:
    """Writes a line at the end, where nothing can be drawn anew."""

    def __init__(self, file: TextIO | None, model: RunModel) -> None:
        self._file = file
        self._model = model

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Write the line."""
        from ._drawing import last_line

        if self._file is not None:
            print(last_line(self._model), file=self._file, flush=True)


def _is_notebook() -> bool:
    """Return whether this is the kernel of a notebook, which shows HTML."""
    ipython = sys.modules.get("IPython")  # a script need not import it for this
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")
