"""Large parts that several tasks refer to, and that a runner keeps."""

from __future__ import annotations

from .._light_typing import TYPE_CHECKING, Any
from .._wire import heads
from .._wire.shared_memory import SharedBytes, open_segment
from .references import text_of

if TYPE_CHECKING:
    from .._wire.shared_memory import Segment


class KeptPart:
    """A part as it is kept: each task that refers to it finds it as it was sent.

    Args:
        kind: what is made of it.
        content: its bytes.
    """

    def __init__(self, kind: int, content: Segment) -> None:
        self._kind = kind
        self._content: Any = content

    def open(self) -> Any:
        """Return what a task finds in its place: for each task memory of its own.

        A text alone is made once, for all of them. Bytes are not: numpy takes the memory of large
        bytes that it finds in a pickle for its own, and writes to it
        (:func:`.references.bytes_of` copies them). Anything else is a view of its own of the shared
        memory, of which the system copies the pages that the task writes to; or a copy.
        """
        content = self._content
        if self._kind == heads.TEXT:
            if type(content) is not str:
                content = self._content = text_of(open_segment(content))
            return content
        if self._kind == heads.BUFFER and not isinstance(content, SharedBytes):
            return bytearray(content)
        return open_segment(content)
