"""Tasks that need no full pickle, as most do where there are many.

A plain task is a function that travels apart from its calls, or an instance of an ordinary class,
whose arguments and attributes are numbers and texts. What travels with each is a number in place
of the code, and a dict or tuple of such values; that takes a third of the time of a pickle that
names the class, here and on the slave (:func:`.._code.references.unpickle_task`). Anything else is
pickled in full.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Callable
from types import FunctionType, GetSetDescriptorType

from .._code.reducers import reducer_of
from .._light_typing import TYPE_CHECKING, Any
from .snapshot import Snapshot

if TYPE_CHECKING:
    Code = FunctionType | type
    # its number, and its state when it was sent; None if it is importable
    _Known = tuple[int, Snapshot | None]

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
_SPECIAL = ("__setstate__", "__getnewargs__", "__getnewargs_ex__")
_ORDINARY = ("__new__", "__reduce__", "__reduce_ex__", "__getstate__", "__getattribute__")
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement


class PlainTasks:
    """Writes plain tasks of one context."""

    def __init__(self) -> None:
        self._numbers: dict[Code, _Known | None] = {}

    def payload(self, task: Any, args: tuple[Any, ...]) -> bytes | None:
        """Return the payload of a task, or None if it isn't plain, or its code isn't known."""
        kind = type(task)
        known = self._numbers.get(task if kind is FunctionType else kind)
        if known is None:
            return None
        number, snapshot = known
        state = None if kind is FunctionType else task.__dict__
        if (
            (args and not _ATOMS.issuperset(map(type, args)))
            or (state and not _ATOMS.issuperset(map(type, state.values())))
            or (snapshot is not None and not snapshot.is_current())
        ):
            return None
        return pickle.dumps((number, state, args), 5)

    def learn(self, task: Any, find: Callable[[Code], _Known | None]) -> None:
        """Take note of the code of a task that has been pickled in full.

        Args:
            task: the task.
            find: returns the number of a function or class on the slaves, if it has one.
        """
        kind = type(task)
        code = task if kind is FunctionType else kind
        if code in self._numbers:
            known = self._numbers[code]
            if known is None or known[1] is None:
                return
        if kind is not FunctionType and not _is_ordinary(kind):
            self._numbers[code] = None
        elif (found := find(code)) is not None:
            self._numbers[code] = found

    def forget(self) -> None:
        """Forget what numbers stand for: code has changed."""
        self._numbers.clear()


def _is_ordinary(kind: type) -> bool:
    """Whether pickle takes nothing but the ``__dict__`` of a class's instances."""
    *bases, last = kind.__mro__
    return (
        type(kind) is type
        and last is object
        and kind.__dictoffset__ != 0
        and all(getattr(kind, name) is getattr(object, name) for name in _ORDINARY)
        and not any(hasattr(kind, name) for name in _SPECIAL)
        and all(base.__flags__ & _HEAP_TYPE for base in bases)
        and not copyreg._slotnames(kind)  # type: ignore[attr-defined]  # as pickle itself calls it
        and all(
            type(base.__dict__.get("__dict__")) in (type(None), GetSetDescriptorType)
            for base in bases
        )
        and kind not in copyreg.dispatch_table
        and reducer_of(kind) is None
    )
