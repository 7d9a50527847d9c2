"""The options for qsub that a user gives to an array."""

from __future__ import annotations

import shlex

# This plugin sets these itself: another value would break the array, or qsub's answer.
_RESERVED = {
    "-t": "the array's size is its first argument",
    "-b": "the job is a script, not a program",
    "-C": "the job's script holds no options",
    "-@": "its file could hold anything",
    "-sync": "qsub would wait for the slaves to end",
    "-now": "qsub would wait for the slaves to start",
    "-terse": "qsub is always called with it",
    "-verify": "nothing would be submitted",
    "-help": "nothing would be submitted",
}


def split_options(options: str) -> list[str]:
    """Return the words of qsub options that a person wrote as for a shell.

    Raises ValueError for an open quote, and for options that this plugin sets itself.
    """
    try:
        words = shlex.split(options)
    except ValueError as problem:
        raise ValueError(f"the qsub options {options!r} can't be read: {problem}") from None
    for word in words:
        if word in _RESERVED:
            raise ValueError(f"the qsub option {word} can't be used here: {_RESERVED[word]}")
    return words
