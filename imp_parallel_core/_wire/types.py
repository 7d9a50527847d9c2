"""Types that this room's modules share. Only type checkers import this."""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview
