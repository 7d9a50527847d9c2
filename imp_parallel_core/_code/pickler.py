"""Picklers that are used again and again: making one costs more than pickling most tasks.

Large parts are kept out of a pickle: buffers that their owner offers (protocol 5), such as arrays,
and bytes and texts, which pickle itself would write into it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO
from struct import Struct

from .._light_typing import Any, NamedTuple
from .._wire import heads
from .._wire.protocol import FRAME_LIMIT_BYTES
from . import references

Reducer = Callable[[Any], Any]
"""Takes an object apart, as ``Pickler.reducer_override`` does."""

_KEPT_BYTES = 1 << 16  # a pickler is kept after a pickle of up to this size
_BUFFERS_LIMIT = 100  # of one pickle, so that many can travel in one message (docs/protocol.md)
_TAKEN_OUT_BYTES = 1 << 20
_idle: list[_Pickler] = []


class Large(NamedTuple):
    """A large part that is kept out of a pickle: its kind (see docs/protocol.md) and its bytes."""

    kind: int
    raw: memoryview


def _instead(function: Callable[[Any], Any]) -> bytes:
    """Return the piece of a pickle that calls a function with the next buffer."""
    name = f"{function.__module__}\n{function.__name__}\n".encode()
    return pickle.GLOBAL + name + pickle.NEXT_BUFFER + pickle.TUPLE1 + pickle.REDUCE


# How pickle begins large bytes and texts: with an operation and their length.
_SHORT, _LONG = Struct("<I"), Struct("<Q")
_BYTES = heads.BYTES, _instead(references.bytes_of)
_TEXT = heads.TEXT, _instead(references.text_of)
_BYTEARRAY = heads.BUFFER, _instead(references.bytearray_of)
_BEGINNINGS = (
    (pickle.BINBYTES, _SHORT, *_BYTES),
    (pickle.BINBYTES8, _LONG, *_BYTES),
    (pickle.BINUNICODE, _SHORT, *_TEXT),
    (pickle.BINUNICODE8, _LONG, *_TEXT),
    (pickle.BYTEARRAY8, _LONG, *_BYTEARRAY),
)
_BEGINNING_BYTES = 9


class _File(BytesIO):
    """The file that a pickler writes to; it takes large bytes and texts out.

    The pickler writes the beginning of such an object first, and then the object itself, in one
    call. If a later Python did otherwise, the object would stay in the pickle.
    """

    def __init__(self, buffers: list[Large]) -> None:
        super().__init__()
        self.buffers = buffers

    def write(self, data: Any) -> int:
        """Write a piece of the pickle; put a call in the place of a large one."""
        size = len(data)
        if size < _TAKEN_OUT_BYTES or len(self.buffers) >= _BUFFERS_LIMIT:
            return super().write(data)
        at = self.tell()
        self.seek(max(0, at - _BEGINNING_BYTES))
        beginning = self.read()
        for operation, layout, kind, instead in _BEGINNINGS:
            if size >> 8 * layout.size:
                continue
            begun = operation + layout.pack(size)
            if beginning.endswith(begun):
                self.seek(at - len(begun))
                self.truncate()
                super().write(instead)
                self.buffers.append(Large(kind, memoryview(data)))
                return size
        return super().write(data)


class _Pickler(pickle.Pickler):
    def __init__(self) -> None:
        self.buffers: list[Large] = []
        self.file = _File(self.buffers)
        super().__init__(self.file, 5, buffer_callback=self._keep_large)

    def _keep_large(self, buffer: pickle.PickleBuffer) -> bool:
        # A segment larger than a frame arrives in memory of its own, so that an array over it can
        # be written to.
        raw = buffer.raw()
        if raw.nbytes <= FRAME_LIMIT_BYTES or len(self.buffers) >= _BUFFERS_LIMIT:
            return True
        self.buffers.append(Large(heads.BUFFER, raw))
        return False


def pickle_with(reducer: Reducer, thing: Any) -> tuple[bytes, list[Large]]:
    """Return a pickle of anything, and its large parts, which are not copied.

    Several threads may call this, and so may the code of an object that is being pickled. Raises
    whatever pickling raises.
    """
    pickler = _idle.pop() if _idle else _Pickler()
    pickler.reducer_override = reducer  # type: ignore[method-assign]  # dump() looks it up
    pickler.dump(thing)
    data, buffers = pickler.file.getvalue(), pickler.buffers.copy()
    pickler.reducer_override = _no_reducer  # type: ignore[method-assign]  # likewise
    # A pickler refers to itself: its contents would stay until garbage is collected.
    pickler.clear_memo()
    pickler.buffers.clear()
    pickler.file.seek(0)
    pickler.file.truncate()
    if len(data) < _KEPT_BYTES:  # a pickler that has grown is not kept, nor one that has failed
        _idle.append(pickler)
    return data, buffers


def _no_reducer(thing: Any) -> Any:
    """Stand in for the reducer of an idle pickler, which must not keep a real one alive."""
    return NotImplemented
