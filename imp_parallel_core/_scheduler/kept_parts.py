"""Which large parts of tasks a runner keeps (see :mod:`.._definitions.large_parts`)."""

from __future__ import annotations

from .tasks import Part, Task

_KEPT_BYTES = 1 << 28  # or more, if the tasks that were sent last refer to more


class KeptParts:
    """The numbered parts that one runner has been sent; the one that was needed last comes last.

    A runner forgets what it is told to forget: parts that no task refers to any more, and, of more
    than 256 MiB, those that have not been needed for longest; they are sent again when they are.
    """

    def __init__(self) -> None:
        self._sizes: dict[tuple[int, int], int] = {}  # by context and number
        self._size_bytes = 0
        self._missing: list[Part] = []  # of the tasks that are being chosen
        self._needed: set[tuple[int, int]] = set()  # by those

    def bytes_of(self, task: Task) -> int:
        """Return how many bytes must travel so that a task can run here; it will be sent next."""
        size_bytes = 0
        for segment in task.payload:
            if getattr(segment, "number", 0):
                size_bytes += self._need(task.context, segment)
            else:
                size_bytes += len(segment)
        return size_bytes

    def _need(self, context: int, part: Part) -> int:
        key = context, part.number
        self._needed.add(key)
        known = self._sizes.pop(key, None)
        self._sizes[key] = size_bytes = len(part)
        if known is not None:
            return 0
        self._size_bytes += size_bytes
        self._missing.append(part)
        return size_bytes

    def take_missing(self) -> list[Part]:
        """Return the parts to be sent before the tasks that have been chosen."""
        missing, self._missing = self._missing, []
        return missing

    def take_surplus(self) -> list[tuple[int, int]]:
        """Return the parts (context and number) to be forgotten after those tasks."""
        surplus: list[tuple[int, int]] = []
        if self._size_bytes > _KEPT_BYTES:
            for key in list(self._sizes):
                if self._size_bytes <= _KEPT_BYTES or key in self._needed:
                    break  # the parts behind this one are needed too
                self.drop(*key)
                surplus.append(key)
        self._needed.clear()
        return surplus

    def drop(self, context: int, number: int) -> bool:
        """Forget one; return whether it was here."""
        size_bytes = self._sizes.pop((context, number), None)
        self._size_bytes -= size_bytes or 0
        return size_bytes is not None

    def drop_context(self, context: int) -> None:
        """Forget those of a context that has been closed."""
        for key in [key for key in self._sizes if key[0] == context]:
            self.drop(*key)
