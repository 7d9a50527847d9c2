"""What is told of a task's exception besides its text: it is there if the exception can't be had.

The runner writes it, the master reads it. All of it is text, bounded and printable.
"""

from __future__ import annotations

import pickle

from .._light_typing import Any, NamedTuple
from .._printable import printable_lines

_COUNT = 100  # of arguments, and of notes
_NOTE_LENGTH = 2000  # characters


class ExceptionFacts(NamedTuple):
    """Says what an exception was."""

    type_name: str = ""
    """Its class, with the module."""
    args: tuple[str, ...] = ()
    """A short ``repr`` of each of its arguments."""
    notes: tuple[str, ...] = ()
    """Its ``__notes__``."""
    problem: str = ""
    """Why the exception itself can't be had; empty if it can."""


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
    """Return what the runner wrote; nothing if there is no sense in it."""
    try:
        name, args, notes, problem = pickle.loads(segment)
        return ExceptionFacts(
            _bounded(name),
            tuple(map(_bounded, args[:_COUNT])),
            tuple(map(_bounded, notes[:_COUNT])),
            _bounded(problem),
        )
    except Exception:  # a slave of another version, or one that lies
        return ExceptionFacts()


def _described(args: tuple[Any, ...]) -> tuple[str, ...]:
    from .reprs import describe  # only here: it takes time to import, and few tasks fail

    return tuple(map(describe, args[:_COUNT]))


def _notes(exc: BaseException) -> tuple[str, ...]:
    notes = getattr(exc, "__notes__", ())
    return tuple(_bounded(str(note)) for note in notes[:_COUNT])


def _bounded(text: str) -> str:
    shown = printable_lines(text[:_NOTE_LENGTH])
    return shown if len(text) <= _NOTE_LENGTH else shown + "…"
