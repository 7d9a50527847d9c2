"""The pipe by which a runner's small values come to the supervisor (docs/protocol.md)."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable

from .._light_typing import Any
from .._wire import protocol
from .._wire.protocol import Message
from .._wire.value_records import VALUE_RECORD

_READ_BYTES = 1 << 16  # the pipe never holds more
_RECORD_BYTES = VALUE_RECORD.size
_ITEM_S = 1e-5  # the time that a runner needs around an item, at least


class ValuePipe:
    """The supervisor's end of the pipe. What comes together is passed on in one message.

    Args:
        descriptor: the end, which does not block.
        selector: the selector of the supervisor's loop.
        items: the items that the runner has; those whose values come are taken out.
        came: called with each VALUES message that is made of records.
    """

    def __init__(
        self,
        descriptor: int,
        selector: selectors.BaseSelector,
        items: dict[int, Any],
        came: Callable[[Message], None],
    ) -> None:
        self._descriptor = descriptor
        self._selector = selector
        self._items = items
        self._came = came
        self._begun = b""  # the beginning of a record
        self._work_left_s = 0.0
        selector.register(descriptor, selectors.EVENT_READ, self._ready)

    def _ready(self, events: int) -> None:
        self.read()

    def read(self) -> bool:
        """Pass on the records that have come; return whether any bytes have."""
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._listen_no_more()  # the runner has ended
            return False
        data = self._begun + data
        items, unpack, size = self._items, VALUE_RECORD.unpack_from, _RECORD_BYTES
        at, end = 0, len(data)
        count, busy_s = 0, 0.0
        while at + size <= end:
            item, duration_s, _, length = unpack(data, at)
            record_end = at + size + length
            if record_end > end:
                break
            at = record_end
            items.pop(item, None)
            count += 1
            busy_s += duration_s
        self._begun = data[at:]
        if count:
            self._work_left_s = len(items) * (busy_s / count + _ITEM_S)
            self._came(Message(protocol.VALUES, b"", (data[:at],)))
        return True

    def take_work_left_s(self) -> float:
        """Return for how long the runner has work; 0 if no value came since the last call."""
        left_s, self._work_left_s = self._work_left_s, 0.0
        return left_s

    def close(self) -> None:
        """Close the pipe, when all has been read."""
        self._listen_no_more()
        os.close(self._descriptor)

    def _listen_no_more(self) -> None:
        if self._descriptor in self._selector.get_map():
            self._selector.unregister(self._descriptor)
