"""The block in a notebook: HTML below the cell that has made the Manager, drawn anew in place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from html import escape
from typing import Any

from rich.text import Text

from imp_parallel_core import printable

from ._drawing import shown_contexts, slaves_line, tasks_line
from ._model import ContextCounts, RunModel

_REDRAW_S = 0.5
_COLOURS = {"green": "#2a9d5c", "red": "#d64545", "cyan": "#2b8ea8", "yellow": "#a87b00"}


class NotebookBlock:
    """Draws a block in a notebook from :meth:`start` to :meth:`stop`, in a thread of its own.

    Args:
        html: returns what to draw; called in that thread.
    """

    def __init__(self, html: Callable[[], str]) -> None:
        self._html = html
        self._handle: Any = None
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._redraw, name="imp_parallel progress bar", daemon=True
        )

    def start(self) -> None:
        """Draw the block for the first time."""
        from IPython import display

        shown: Any = display  # its functions have no type hints
        self._handle = shown.display(shown.HTML(self._html()), display_id=True)
        self._thread.start()

    def stop(self) -> None:
        """Draw the block for the last time, and leave it there."""
        self._is_stopping.set()
        self._thread.join()
        self._update()

    def _redraw(self) -> None:
        while not self._is_stopping.wait(_REDRAW_S):
            self._update()

    def _update(self) -> None:
        from IPython import display

        made: Any = display.HTML
        self._handle.update(made(self._html()))


def block_as_html(model: RunModel, now: float) -> str:
    """Return the block as HTML.

    Args:
        model: of the run.
        now: the time, in the events' seconds.
    """
    shown, folded = shown_contexts(model)
    rows = [_row(printable(each.name), _bar(each)) for each in shown]
    if folded:
        rows.append(_row(f"{folded} more", "contexts"))
    rows.append(_row("tasks", _as_html(tasks_line(model, now))))
    rows.append(_row("slaves", _as_html(slaves_line(model))))
    style = "display:grid;grid-template-columns:max-content 1fr;gap:.25em 1em;max-width:60em"
    return f'<div style="{style}">{"".join(rows)}</div>'


def _row(name: str, content: str) -> str:
    return f"<b>{escape(name)}</b><div>{content}</div>"


def _bar(counts: ContextCounts) -> str:
    total = counts.ended + counts.left
    parts = [("green", counts.done), ("red", counts.failed), ("", counts.cancelled)]
    pieces = "".join(
        f'<span style="width:{100 * count / total:.2f}%;background:{_COLOURS.get(colour, "#999")}">'
        "</span>"
        for colour, count in parts
        if total and count
    )
    style = "display:flex;flex:1;height:.6em;border-radius:.3em;overflow:hidden;background:#8884"
    percent = 100 * counts.ended // total if total else 0
    text = f"{counts.ended:,} of {total:,} &nbsp; {percent} %"
    return (
        '<div style="display:flex;align-items:center;gap:1em">'
        f'<div style="{style}">{pieces}</div><span>{text}</span></div>'
    )


def _as_html(text: Text) -> str:
    pieces = []
    for part in text.split(", "):
        styles = " ".join(str(span.style) for span in part.spans).split()
        css = [f"color:{_COLOURS[style]}" for style in styles if style in _COLOURS]
        if "bold" in styles:
            css.append("font-weight:bold")
        pieces.append(f'<span style="{";".join(css)}">{escape(part.plain)}</span>')
    return ", ".join(pieces)
