"""A pickler that is used again and again: making one costs more than pickling most tasks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO

from ._light_typing import Any
from ._protocol import FRAME_LIMIT_BYTES

Reducer = Callable[[Any], Any]
"""Says how an object is taken apart, as ``Pickler.reducer_override`` does."""

_KEPT_BYTES = 1 << 16
_BUFFERS_LIMIT = 100  # of one pickle, so that many can travel in one message (docs/protocol.md)
_idle: list[_Pickler] = []


class _Pickler(pickle.Pickler):
    def __init__(self) -> None:
        self.file = BytesIO()
        self.buffers: list[memoryview] = []
        super().__init__(self.file, 5, buffer_callback=self._keep_large)

    def _keep_large(self, buffer: pickle.PickleBuffer) -> bool:
        # What is larger than a frame arrives at the other end in memory of its own, which can be
        # written to, as an array wants it.
        raw = buffer.raw()
        if raw.nbytes <= FRAME_LIMIT_BYTES or len(self.buffers) >= _BUFFERS_LIMIT:
            return True
        self.buffers.append(raw)
        return False


def pickle_with(reducer: Reducer, thing: Any) -> tuple[bytes, list[memoryview]]:
    """Return a pickle of anything, and its large buffers (protocol 5), not copied.

    May be called by several threads, and by the code of what is being pickled. Raises whatever
    pickling raises.
    """
    pickler = _idle.pop() if _idle else _Pickler()
    pickler.reducer_override = reducer  # type: ignore[method-assign]  # it is looked up in dump()
    pickler.dump(thing)
    data, buffers = pickler.file.getvalue(), pickler.buffers
    pickler.reducer_override = _no_reducer  # type: ignore[method-assign]  # likewise
    # It refers to itself: what it holds would stay until garbage is collected.
    pickler.clear_memo()
    pickler.buffers = []
    pickler.file.seek(0)
    pickler.file.truncate()
    if len(data) < _KEPT_BYTES:  # one that failed, or that has grown, is not worth keeping
        _idle.append(pickler)
    return data, buffers


def _no_reducer(thing: Any) -> Any:
    """Take the place of a reducer, which an idle pickler must not keep alive."""
    return NotImplemented
