"""Holds what has arrived on a channel, in place of the buffers that paramiko's channels have.

A channel's own buffer can't wake a thread that waits for several channels, and reading from it
writes to the connection, to tell the host that there is room again. Here the reader never waits for
the connection: the connection's own thread tells the host.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_REPORT_BYTES = 128 * 1024  # what was taken is told when there is so much of it


class ReceiveBuffer:
    """Bytes of one channel; the methods that paramiko calls are those of its ``BufferedPipe``.

    Args:
        arrived: called, from paramiko's thread, when there is something to take after there was
            nothing, or the end.
        has_room: called, from any thread, when the host should be told that there is room again.
    """

    def __init__(self, arrived: Callable[[], None], has_room: Callable[[], None]) -> None:
        self._arrived = arrived
        self._has_room = has_room
        self._lock = threading.Lock()
        self._pieces: deque[bytes] = deque()
        self._taken_bytes = 0
        self._is_awaited = True
        self._has_ended = False
        self._is_unwanted = False

    # ---- called by paramiko

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        with self._lock:
            if self._is_unwanted:
                self._taken_bytes += len(data)
                self._is_awaited = False
                is_first, has_room = False, self._taken_bytes >= _REPORT_BYTES
            else:
                self._pieces.append(data)
                is_first, has_room = self._is_awaited, False
                self._is_awaited = False
        if is_first:
            self._arrived()
        if has_room:
            self._has_room()

    def close(self) -> None:
        """Note that nothing more will arrive.

        Called at the end of what the command writes, and again when the channel is closed: how the
        command ended is known then.
        """
        with self._lock:
            self._has_ended = True
        self._arrived()

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """Return as many bytes as were taken: their number is what the host will be told."""
        with self._lock:
            count = min(nbytes, self._taken_bytes)
            self._taken_bytes -= count
        return bytes(count)

    # ---- called by the reader

    def take(self, limit_bytes: int) -> bytes:
        """Return what has arrived; b"" at the end. Raises BlockingIOError if there is nothing."""
        with self._lock:
            if not self._pieces:
                if self._has_ended:
                    return b""
                self._is_awaited = True
                raise BlockingIOError
            data = self._take(limit_bytes)
            self._taken_bytes += len(data)
            has_room = self._taken_bytes >= _REPORT_BYTES
        if has_room:
            self._has_room()
        return data

    def _take(self, limit_bytes: int) -> bytes:
        taken, size = [], 0
        while self._pieces and size < limit_bytes:
            piece = self._pieces.popleft()
            if size + len(piece) > limit_bytes:
                self._pieces.appendleft(piece[limit_bytes - size :])
                piece = piece[: limit_bytes - size]
            taken.append(piece)
            size += len(piece)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def drop(self) -> None:
        """Let go of what is there and of what will come; the host must not wait for room."""
        with self._lock:
            self._is_unwanted = True
            self._taken_bytes += sum(map(len, self._pieces))
            self._pieces.clear()
        self._has_room()


class PassThrough:
    """Passes on at once what arrives, such as a command's errors; see :class:`ReceiveBuffer`."""

    def __init__(self, take: Callable[[bytes], None], has_room: Callable[[], None]) -> None:
        self._take = take
        self._has_room = has_room
        self._lock = threading.Lock()
        self._taken_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        with self._lock:
            self._taken_bytes += len(data)
            has_room = self._taken_bytes >= _REPORT_BYTES
        if has_room:
            self._has_room()
        self._take(data)

    def close(self) -> None:
        """Do nothing: the channel's end tells the function that takes the bytes."""

    def read(self, nbytes: int, timeout: float | None = None) -> bytes:
        """Return as many bytes as were taken."""
        with self._lock:
            count = min(nbytes, self._taken_bytes)
            self._taken_bytes -= count
        return bytes(count)
