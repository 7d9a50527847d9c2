"""The block on a terminal, drawn anew some times a second below what the script prints.

Whatever draws on a terminal must know where the cursor is. So there is one block on each, and
several progress bars, as of Managers in each other, are its parts.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from ._streams import PrintedText, printed_above

_PRINT_S = 0.1  # how long what is printed may wait


_Draw = Callable[[], RenderableType]


class TerminalPart:
    """A part of the block of a terminal, from :meth:`start` to :meth:`stop`.

    Args:
        file: the terminal.
        draw: returns what to draw; called in a thread of the block's.
    """

    def __init__(self, file: TextIO, draw: _Draw) -> None:
        self._file = file
        self._draw = draw
        self._terminal = _terminal_of(file)

    def start(self) -> None:
        """Draw it for the first time, below the parts that are there."""
        with _changing:
            block = _blocks.get(self._terminal)
            if block is not None:
                block.parts.append(self._draw)
                return
            block = _Block(self._file, self._draw)
            block.start()
            _blocks[self._terminal] = block

    def stop(self) -> None:
        """Draw it for the last time, and leave it there; other parts go on below."""
        with _changing:
            block = _blocks[self._terminal]
            if len(block.parts) > 1:
                block.leave(self._draw)
            else:
                del _blocks[self._terminal]
                block.stop()


_changing = threading.Lock()
_blocks: dict[Hashable, _Block] = {}


def _terminal_of(file: TextIO) -> Hashable:
    """Return what tells terminals apart: both standard streams may go to the same one."""
    try:
        return os.fstat(file.fileno()).st_rdev
    except (AttributeError, OSError, ValueError):  # it is a terminal of the script's own
        return file


class _Block:
    """Draws its parts on a terminal from :meth:`start` to :meth:`stop`, in a thread of its own.

    Args:
        file: the terminal.
        part: draws the first part.

    Attributes:
        parts: draw the parts, from above to below.
    """

    def __init__(self, file: TextIO, part: _Draw) -> None:
        self.parts = [part]
        self._text = PrintedText(self._show_text)
        self._console = Console(file=file)
        self._live = Live(
            get_renderable=self._block,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._showing = threading.Lock()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._redraw, name="imp_parallel progress bar", daemon=True
        )
        self._undo = ExitStack()

    def start(self) -> None:
        """Draw the block for the first time."""
        with self._console:
            self._live.start()
            self._console.show_cursor()  # whatever ends the script, the cursor is there
        self._undo.enter_context(printed_above(self._text))
        self._thread.start()

    def leave(self, part: _Draw) -> None:
        """Leave a part where it is, above the others, and draw it no more."""
        with self._console:
            self._show_text()
            self.parts.remove(part)
            self._console.print(part())
            self._live.refresh()

    def stop(self) -> None:
        """Draw the block for the last time, and leave it there.

        The script gets its streams back whatever happens, such as that the terminal is gone.
        """
        self._is_stopping.set()
        try:
            self._thread.join()
            self._undo.close()
            self._show_text()
        finally:
            self._undo.close()
            try:
                self._live.stop()  # which draws once more
            finally:
                self._console.file.write(self._text.end())
                self._console.file.flush()

    def _redraw(self) -> None:
        """Show what is printed ten times a second, and how things are then half as often."""
        is_due = False
        while not self._is_stopping.wait(_PRINT_S):
            is_due = not is_due
            with self._console:  # one write for both
                self._show_text()
                if is_due:
                    self._console.show_cursor(False)  # which the drawing would show all over
                    self._live.refresh()
                    self._console.show_cursor()

    def _show_text(self) -> None:
        with self._showing:  # the script's thread shows text as well, if it writes much
            if text := self._text.take():
                self._console.print(_AsItIs(text), end="", crop=False, soft_wrap=True)

    def _block(self) -> RenderableType:
        drawn = Group(*(part() for part in list(self.parts)))
        if line := self._text.last_line:
            beginning = Text.from_ansi(line, no_wrap=True, overflow="ellipsis")
            return Group(beginning, drawn)
        return drawn


class _AsItIs:
    """Text that is neither wrapped nor styled."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment(self.text)
