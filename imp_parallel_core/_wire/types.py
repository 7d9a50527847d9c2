"""Types that the modules of this room share. Only type checkers import this module."""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview
