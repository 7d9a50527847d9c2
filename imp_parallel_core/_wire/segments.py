"""Two sequences of segments besides a list: uncut ones, and ones dropped for lack of memory."""

from __future__ import annotations

from collections.abc import Sequence

from .._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import overload


class PackedSegments(Sequence[bytes]):
    """Segments in one piece, which is cut when somebody reads them. Passing them on cuts nothing.

    Args:
        lengths: the lengths of the segments.
        body: the bytes of all segments, one after the other.
    """

    __slots__ = ("_cut", "body", "lengths")

    def __init__(self, lengths: Sequence[int], body: bytes) -> None:
        self.lengths = lengths
        self.body = body
        self._cut: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> bytes: ...
        @overload
        def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self.cut()[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.cut() == list(other)

    __hash__ = None  # type: ignore[assignment]  # like a list

    def __repr__(self) -> str:
        return repr(self.cut())

    def cut(self) -> list[bytes]:
        """Return the segments as a list. The list is made once."""
        if self._cut is None:
            body, at = self.body, 0
            self._cut = cut = []
            for length in self.lengths:
                end = at + length
                cut.append(body[at:end])
                at = end
        return self._cut


class DroppedSegments(tuple[()]):
    """Stands for segments that were too large for the memory, and were dropped as they arrived."""

    size_bytes = 0
    """How large the segments were, together."""
