"""Large parts of tasks: a part that several tasks share is held once, and sent to a runner once.

A large part is a buffer of 1 MiB or more that a task's pickle holds out of band (an array, say,
wherever in the task it is), or that was taken out of the pickle (:mod:`.._code.pickler`). It is
recognized by its content: a few samples find a part that may be the same, and then all bytes are
compared. That takes less time than a copy, and an array that was changed in place is another part.

A part that comes for the first time travels in its task. When it comes again it gets a number: from
then on each runner is sent it once, to keep, before the first task that refers to it
(:mod:`.._scheduler.kept_parts`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from .._wire.shared_memory import SharedBytes, kept, open_segment

if TYPE_CHECKING:
    from .._code.pickler import Large
    from .._wire.types import Buffer

LEAST_BYTES = 1 << 20
"""Shorter parts travel in each task."""

_SAMPLES, _SAMPLE_BYTES = 64, 64
_SEEN_LIMIT = 256  # how many parts are remembered when nothing refers to them any more


class LargePart:
    """A large part of one task or several: it lives as long as any of them refers to it.

    Args:
        content: its bytes, which nobody changes any more.
        kind: the kind of object that the runner makes of them (see docs/protocol.md).
        released: called with its number, if it has one, when nothing refers to it any more; in any
            thread.
    """

    __slots__ = ("__weakref__", "_released", "content", "is_counted", "kind", "number")

    def __init__(
        self, content: bytes | SharedBytes, kind: int, released: Callable[[int], object]
    ) -> None:
        self._released = released
        self.content = content
        self.kind = kind
        self.number = 0
        """Its number within its context; 0 as long as one task only has referred to it."""
        self.is_counted = False
        """Whether a Map has counted it already among the bytes that are on their way."""

    def __len__(self) -> int:
        return len(self.content)

    def __del__(self) -> None:
        if self.number:
            self._released(self.number)

    def open(self) -> Buffer:
        """Return its bytes, as :func:`.._wire.shared_memory.open_segment` does."""
        opened: Buffer = open_segment(self.content)
        return opened

    def is_same(self, raw: memoryview) -> bool:
        """Whether it holds the very same bytes."""
        if len(raw) != len(self):
            return False
        if isinstance(self.content, SharedBytes):
            return self.content.is_same(raw)
        return self.content.startswith(raw)  # a comparison by "==" would look at each byte apart


class LargeParts:
    """The large parts of one context's tasks.

    Args:
        released: see :class:`LargePart`.
    """

    def __init__(self, released: Callable[[int], object] = int) -> None:
        self._released = released
        self._numbers = itertools.count(1)
        self._alive: WeakValueDictionary[int, LargePart] = WeakValueDictionary()  # by their hashes
        self._seen: dict[int, None] = {}  # hashes; that which was seen last comes last
        self._latest: list[LargePart] = []

    def segments(self, buffers: list[Large]) -> list[LargePart | bytes | SharedBytes]:
        """Return what a task's pickle holds out of band as segments of the task.

        The numbered parts among them are held until this is called again: for tasks that are added
        one by one, each when the one before has ended. Not to be called by two threads at a time.
        """
        parts = [
            self._part(*one) if len(one.raw) >= LEAST_BYTES else kept(one.raw) for one in buffers
        ]
        self._latest = [part for part in parts if type(part) is LargePart and part.number]
        return parts

    def _part(self, kind: int, raw: memoryview) -> LargePart:
        key = _hash_of(kind, raw)
        part = self._alive.get(key)
        if part is None or not part.is_same(raw):
            part = self._alive[key] = LargePart(kept(raw), kind, self._released)
        if key in self._seen and not part.number:
            part.number = next(self._numbers)
        self._seen.pop(key, None)
        self._seen[key] = None
        if len(self._seen) > _SEEN_LIMIT:
            del self._seen[next(iter(self._seen))]
        return part


def _hash_of(kind: int, raw: memoryview) -> int:
    """Return a hash that is the same for equal parts, and hardly ever for others."""
    step = max(1, (len(raw) - _SAMPLE_BYTES) // (_SAMPLES - 1))
    samples = [raw[at : at + _SAMPLE_BYTES] for at in range(0, len(raw), step)]
    return hash((kind, len(raw), b"".join(samples)))
