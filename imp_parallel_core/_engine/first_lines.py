"""The first lines of errors, for observers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._printable import printable
from .._scheduler.tasks import OutcomeKind
from .._wire.shared_memory import open_segment

if TYPE_CHECKING:
    from .._scheduler.tasks import Outcome

_LIMIT = 500  # characters


def first_line(text: str) -> str:
    """Return the first line of a text, printable and not too long."""
    line = printable(text.strip().partition("\n")[0].rstrip())
    return line if len(line) <= _LIMIT else f"{line[: _LIMIT - 1]}…"


def first_line_of(outcome: Outcome) -> str:
    """Return the first line of an outcome's error; "" for a value, or a task that was cancelled."""
    if outcome.kind in (OutcomeKind.VALUE, OutcomeKind.CANCELLED) or not outcome.content:
        return ""
    words = outcome.content[-1] if isinstance(outcome.content[-1], str) else None
    return first_line(_named(outcome.content) if words is None else words)


def _named(segments: Sequence[Any]) -> str:
    """Return the line that names an exception that was raised on a slave."""
    line = bytes(open_segment(segments[1])) if len(segments) > 1 else b""
    return line.decode(errors="replace")
