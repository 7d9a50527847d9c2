"""Large parts that several tasks refer to, as a runner keeps them."""

from __future__ import annotations

from .._light_typing import TYPE_CHECKING, Any
from .._wire import heads
from .._wire.shared_memory import SharedBytes, open_segment
from .references import bytes_of, text_of

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
        self._is_made = False

    def open(self) -> Any:
        """Return what a task finds in its place.

        What can't be changed is made once, for all of them. Anything else is a view of its own of
        the shared memory, of which the system copies the pages that the task writes to; or a copy.
        """
        if self._kind == heads.BUFFER:
            if isinstance(self._content, SharedBytes):
                return self._content.open()
            return bytearray(self._content)
        if not self._is_made:
            raw = open_segment(self._content)
            self._content = (text_of if self._kind == heads.TEXT else bytes_of)(raw)
            self._is_made = True
        return self._content
