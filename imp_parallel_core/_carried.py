"""What an error takes along in its pickle, whatever that is.

A task may be a lambda, and an exception's class may be local to a function. Pickle can't name
these, so they travel by value. What can't travel at all is left out: whoever saves a list of
results must not lose all of them because of one error.
"""

from __future__ import annotations

import pickle

from ._light_typing import Any
from ._printable import printable_lines


class _ByValue:
    """Takes the place of something in a pickle, and becomes that again when it is opened."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> Any:
        return pickle.loads, (self._data,)


def carried(thing: Any) -> tuple[Any, str]:
    """Return what to pickle in the place of something; or None, and why it can't be pickled."""
    try:
        return (thing if _is_picklable(thing) else _by_value(thing)), ""
    except Exception as problem:  # it may be anything that the user's own code raises
        return None, printable_lines(f"{type(problem).__name__}: {problem}")


def _is_picklable(thing: Any) -> bool:
    try:
        pickle.dumps(thing, 5)
    except Exception:  # likewise
        return False
    return True


def _by_value(thing: Any) -> _ByValue:
    import cloudpickle

    return _ByValue(cloudpickle.dumps(thing, 5))
