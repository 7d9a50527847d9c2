"""Facts about a task's exception, for a master that can't have the exception itself.

The runner writes the facts, and the master reads them. They are bounded, printable texts.
"""

from __future__ import annotations

import pickle

from .._light_typing import Any, NamedTuple
from .._printable import printable_lines

_COUNT = 100  # arguments, and notes, at most
_NOTE_LENGTH = 2000  # characters


class ExceptionFacts(NamedTuple):
    """Facts about an exception."""

    type_name: str = ""
    """The name of the class, with its module."""
    args: tuple[str, ...] = ()
    """A short ``repr`` of each argument."""
    notes: tuple[str, ...] = ()
    """The exception's ``__notes__``."""
    problem: str = ""
    """Why the exception can't be pickled; empty if it can."""


def write_facts(exc: BaseException, problem: str) -> bytes:
    """Return the facts as a segment. Never raises."""
    kind = type(exc)
    name = f"{kind.__module__}.{kind.__qualname__}"
    try:
        facts = name, _described(exc.args), _notes(exc), _bounded(problem)
    except BaseException:  # the user's __repr__ may do anything
        facts = name, (), (), _bounded(problem)
    return pickle.dumps(facts, 5)


def read_facts(segment: Any) -> ExceptionFacts:
    """Return the facts that a runner wrote; empty ones if they can't be read."""
    try:
        name, args, notes, problem = pickle.loads(segment)
        return ExceptionFacts(
            _bounded(name),
            tuple(map(_bounded, args[:_COUNT])),
            tuple(map(_bounded, notes[:_COUNT])),
            _bounded(problem),
        )
    except Exception:  # a task may have written to the runner's wire
        return ExceptionFacts()


def _described(args: tuple[Any, ...]) -> tuple[str, ...]:
    from .reprs import describe  # its import takes time, and few tasks fail

    return tuple(map(describe, args[:_COUNT]))


def _notes(exc: BaseException) -> tuple[str, ...]:
    notes = getattr(exc, "__notes__", ())
    return tuple(_bounded(str(note)) for note in notes[:_COUNT])


def _bounded(text: str) -> str:
    shown = printable_lines(text[:_NOTE_LENGTH])
    return shown if len(text) <= _NOTE_LENGTH else shown + "…"
