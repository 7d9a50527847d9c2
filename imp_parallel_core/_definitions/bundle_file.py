"""The bytes of one bundle: a row of pickles with one memo, and large buffers beside it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any

from .._code.reducers import is_code, reducer_of
from .._wire.protocol import FRAME_LIMIT_BYTES
from .._wire.shared_memory import SharedBytes, kept
from .sent import Segments


class BundleFile:
    """What a bundle is written to.

    Args:
        met: is called with each function, class or code object, each time that a pickle comes to
            it, and with what may have a name.
        reduce: returns the reduction of such a thing, the first time.
        may_have_name: tells whether objects of a type may be pickled by name.
    """

    def __init__(
        self,
        met: Callable[[Any], None],
        reduce: Callable[[Any], Any],
        may_have_name: Callable[[type], bool],
    ) -> None:
        self._file = BytesIO()
        self._segments: list[bytes | SharedBytes] = []
        self._pickler = _Pickler(self._file, self._keep_large, met, reduce, may_have_name)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written."""
        return not self._file.tell()

    def dump(self, thing: Any) -> None:
        """Write one pickle, of a tuple that holds a thing."""
        self._pickler.dump((thing,))

    def finish(self, contents: bytes) -> Segments:
        """Return the bundle; its last segment says what is in it."""
        self._pickler.dump(None)
        return (self._file.getvalue(), *self._segments, contents)

    def close(self) -> None:
        """Let go of the pickler, and of what it has pickled.

        The garbage collector of some Pythons (3.11.2, of Debian 12) misses what a memo holds.
        """
        self._pickler.clear_memo()
        del self._pickler

    def _keep_large(self, buffer: pickle.PickleBuffer) -> bool:
        """Copy a buffer that is larger than a frame into a segment of its own."""
        raw = buffer.raw()
        if raw.nbytes <= FRAME_LIMIT_BYTES:
            return True
        self._segments.append(kept(raw))
        return False


class _Pickler(pickle.Pickler):
    def __init__(
        self,
        file: BytesIO,
        keep_large: Callable[[pickle.PickleBuffer], bool],
        met: Callable[[Any], None],
        reduce: Callable[[Any], Any],
        may_have_name: Callable[[type], bool],
    ) -> None:
        super().__init__(file, 5, buffer_callback=keep_large)
        self._met = met
        self._reduce = reduce
        self._may_have_name = may_have_name

    def persistent_id(self, obj: Any) -> None:
        # an observer only: unlike reducer_override, it is also told of what is in the memo
        if is_code(type(obj)):
            self._met(obj)

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if is_code(kind):
            return self._reduce(obj)
        reducer = reducer_of(kind)
        if reducer is not None:
            return reducer(obj)
        if self._may_have_name(kind):
            self._met(obj)
            return self._reduce(obj)
        return NotImplemented
