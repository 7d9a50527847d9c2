"""A channel of a paramiko connection as the core's Stream: nothing in it waits.

What is to be written is queued, for the connection's thread to write; what has arrived is taken
from where paramiko's thread has put it.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import paramiko

from .receive_buffer import PassThrough, ReceiveBuffer

_QUEUED_BYTES = 1024 * 1024  # so much may wait to be written
_TURN = 16  # packets of one channel before the next one has its turn
_Buffer = bytes | bytearray | memoryview


class ParamikoStream:
    """The standard input and output of a command; see the core's ``Stream``."""

    resumable = True

    def __init__(
        self,
        channel: paramiko.Channel,
        take_errors: Callable[[bytes], None],
        call_soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._channel = channel
        self._call_soon = call_soon
        self._wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()  # of all below
        self._unsent: deque[bytes] = deque()
        self._unsent_bytes = 0
        self._is_served = False
        self._is_full = False
        self._is_closed = False
        self._is_given_up = False
        self._packet_bytes = max(1024, channel.out_max_packet_size - 64)
        self._received = ReceiveBuffer(self._woken, self.ask_to_be_served)
        received: Any = self._received
        errors: Any = PassThrough(take_errors, self.ask_to_be_served)
        channel.in_buffer, channel.in_stderr_buffer = received, errors
        channel.out_buffer_cv = _Notice(channel.lock, self._has_window)
        channel.settimeout(0.0)

    # ---- called by the engine

    def fileno(self) -> None:
        """Return None: there is no descriptor to select."""

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        """Take the function to call when there may be something to read or write."""
        self._wake = callback

    def receive(self, limit_bytes: int) -> bytes:
        """Return what has arrived; see the core's Stream."""
        return self._received.take(limit_bytes)

    def send(self, buffers: Sequence[_Buffer]) -> int:
        """Take what there is room for, to be written by the connection's thread."""
        if self._channel.closed:
            raise BrokenPipeError(errno.EPIPE, "the channel has been closed")
        with self._lock:
            room = _QUEUED_BYTES - self._unsent_bytes
            if room <= 0:
                self._is_full = True
                raise BlockingIOError
            count = self._queue(buffers, room)
        self.ask_to_be_served()
        return count

    def _queue(self, buffers: Sequence[_Buffer], room: int) -> int:
        """Copy the start of buffers, in pieces that a packet holds."""
        total = 0
        for buffer in buffers:
            view = memoryview(buffer).cast("B")[: room - total]
            total += len(view)
            last = self._unsent[-1] if len(self._unsent) > 1 else b""  # the first may be written
            if last and len(last) + len(view) <= self._packet_bytes:
                self._unsent[-1] = last + view
                continue
            for at in range(0, len(view), self._packet_bytes):
                self._unsent.append(bytes(view[at : at + self._packet_bytes]))
        self._unsent_bytes += total
        return total

    def close(self) -> None:
        """End the command's standard input; what it still writes is let go.

        Its errors are taken until its end.
        """
        with self._lock:
            self._is_closed = True
        self._received.drop()

    # ---- called from any thread

    def give_up(self) -> None:
        """Close the channel, after what was sent as far as that is possible without waiting."""
        with self._lock:
            self._is_given_up = True
        self.close()

    def ask_to_be_served(self) -> None:
        """Have the connection's thread write, and tell the host what has been taken."""
        with self._lock:
            if self._is_served:
                return
            self._is_served = True
        self._call_soon(self._serve)

    def _woken(self) -> None:
        self._wake()

    def _has_window(self) -> None:
        """The host has room again (called with paramiko's lock of the channel held)."""
        if self._unsent_bytes:
            self.ask_to_be_served()

    # ---- called in the connection's thread

    def _serve(self) -> None:
        with self._lock:
            self._is_served = False
        self._tell_taken()
        is_blocked = False
        for _ in range(_TURN):
            piece = self._unsent[0] if self._unsent else b""
            if not piece:
                break
            try:
                count = self._channel.send(piece)
            except TimeoutError:
                is_blocked = True  # until _has_window is called
                break
            self._wrote(piece, count)
        if self._unsent and not is_blocked:
            self.ask_to_be_served()  # when the others had their turns
        elif not self._unsent or self._is_given_up:
            self._end()

    def _tell_taken(self) -> None:
        # (they return as many bytes as were taken before, and tell the host so)
        self._channel.recv(1 << 30)
        self._channel.recv_stderr(1 << 30)

    def _wrote(self, piece: bytes, count: int) -> None:
        if not count:
            raise BrokenPipeError(errno.EPIPE, "the channel has been closed")
        with self._lock:
            self._unsent_bytes -= count
            if count == len(piece):
                self._unsent.popleft()
            else:
                self._unsent[0] = piece[count:]
            is_awaited = self._is_full and self._unsent_bytes <= _QUEUED_BYTES // 2
            if is_awaited:
                self._is_full = False
        if is_awaited:
            self._wake()

    def _end(self) -> None:
        if self._is_given_up:
            self._channel.close()
        elif self._is_closed and not self._channel.eof_sent:
            self._channel.shutdown_write()


class _Notice(threading.Condition):
    """The condition on which paramiko waits for room at the host: it also calls a function."""

    def __init__(self, lock: threading.Lock, notice: Callable[[], None]) -> None:
        super().__init__(lock)
        self._notice = notice

    def notify_all(self) -> None:
        """Wake all who wait."""
        super().notify_all()
        self._notice()
