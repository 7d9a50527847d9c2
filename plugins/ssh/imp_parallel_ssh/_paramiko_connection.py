"""A connection over paramiko: its channels, and the thread that writes for all of them.

The engine thread gives and takes bytes here without ever waiting: paramiko's own calls may, for a
socket's buffer, or while keys are exchanged anew. So they are made in the connection's thread.
"""

from __future__ import annotations

import errno
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import paramiko

from ._connection import Channel
from ._intake import Drain, Intake
from ._transport import Transport

_logger = logging.getLogger("imp_parallel.ssh")

_OPEN_S = 20.0  # how long the host may take to open a channel
_QUEUED_BYTES = 1024 * 1024  # so much may wait to be written
_TURN = 16  # packets of one channel before the next one has its turn
_Buffer = bytes | bytearray | memoryview


class ParamikoConnection:
    """A connection to a host through those before it; see the Protocol ``Connection``.

    Args:
        transports: an authenticated one for each host on the way; the last is the host itself.
        name: of the host, for messages.
        is_watched: whether the system notices it when the peer of the last one vanishes.
        end: called at the end, to end what the connection was made over.
    """

    def __init__(
        self,
        transports: Sequence[Transport],
        name: str,
        *,
        is_watched: bool,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.transport = transports[-1]
        self._transports = transports
        self._end = end
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[str], None]] = []
        self._is_closed = False
        self._lost = ""
        self._forward_lock = threading.Lock()
        self._forwards: dict[int, Callable[[ParamikoStream], None]] = {}
        self._due: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(
            target=self._write, name=f"imp_parallel ssh writer {name}", daemon=True
        )
        self._writer.start()
        ask = None if is_watched else lambda: self._due.put(self.transport.ask_for_life)
        self.transport.watch(ask, self._ended)

    def start(self, command: str, take_errors: Callable[[bytes], None]) -> Channel:
        """Have the login shell run a command line; see the Protocol."""
        try:
            opened = self.transport.open_channel("session", timeout=_OPEN_S)
            channel = ParamikoChannel(opened, take_errors, self._due.put)
            opened.exec_command(command)
        except paramiko.ChannelException as problem:
            raise OSError(
                errno.EAGAIN,
                f"{self.name} refuses another channel on this connection: {problem} (sshd's "
                "MaxSessions, or a forced command?)",
            ) from problem
        except (paramiko.SSHException, EOFError) as problem:
            raise OSError(errno.ECONNRESET, f"{self.name}: {problem}") from problem
        return channel

    def forward(self, connected: Callable[[ParamikoStream], None]) -> int:
        """Have the host listen at a port of its loopback; return the port.

        Args:
            connected: called in the connection's own thread, which must not wait, with each
                connection that is made there.

        Raises OSError if the host does not allow that.
        """
        with self._forward_lock:  # paramiko can't tell the answers to two questions apart
            try:
                port = self.transport.request_port_forward("127.0.0.1", 0, self._forwarded)
            except (paramiko.SSHException, EOFError) as problem:
                raise OSError(errno.EACCES, f"{self.name}: {problem}") from problem
            self._forwards[port] = connected
        return port

    def _forwarded(
        self, channel: paramiko.Channel, origin: tuple[str, int], server: tuple[str, int]
    ) -> None:
        connected = self._forwards.get(server[1])
        if connected is None:  # its port is not known yet, or not any more
            self._due.put(channel.close)
        else:
            connected(ParamikoStream(channel, lambda data: None, self._due.put))

    def on_loss(self, callback: Callable[[str], None]) -> None:
        """Take a function to call when the connection is lost."""
        with self._lock:
            lost = self._lost
            if not lost:
                self._callbacks.append(callback)
        if lost:
            callback(lost)

    def close(self) -> None:
        """Close it with all its channels."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._callbacks.clear()
        for transport in reversed(self._transports):
            transport.close()
        self._due.put(None)
        self._end()

    def _ended(self) -> None:
        """The transport's thread ends; its channels have been told."""
        problem = self.transport.get_exception()
        if problem is None or isinstance(problem, EOFError):
            # (the host's own doing, or the system's, which ends one whose peer has vanished)
            how = f"the connection to {self.name} ended"
        else:
            how = f"the connection to {self.name} broke: {problem}"
        with self._lock:
            if self._is_closed:
                return
            self._lost = how
            callbacks, self._callbacks = self._callbacks, []
        _logger.info("%s", how)
        for callback in callbacks:
            callback(how)

    def _write(self) -> None:
        """Write for the channels that have something to write, or to tell, in turn."""
        while (serve := self._due.get()) is not None:
            try:
                serve()
            except (OSError, EOFError, paramiko.SSHException):
                pass  # it has broken: the thread that reads finds out, and tells the channels
            except Exception:  # a bug must not leave all other channels without a writer
                _logger.exception("writing to %s", self.name)


class ParamikoChannel:
    """A command on the host; see the Protocol ``Channel``.

    Args:
        channel: where it will be started.
        take_errors: is given its standard error.
        call_soon: has a function called in the connection's thread.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        take_errors: Callable[[bytes], None],
        call_soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._channel = channel
        self.stream = ParamikoStream(channel, take_errors, call_soon)

    def exit_status(self) -> int | None:
        """Return how it ended; None if it runs, or it can't be known (after a signal)."""
        channel = self._channel
        is_known = channel.status_event.is_set() and channel.exit_status >= 0
        return int(channel.exit_status) if is_known else None

    def close(self) -> None:
        """End its standard input and give it up."""
        self.stream.give_up()


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
        self._intake = Intake(self._woken, self.ask_to_be_served)
        intake: Any = self._intake
        errors: Any = Drain(take_errors, self.ask_to_be_served)
        channel.in_buffer, channel.in_stderr_buffer = intake, errors
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
        return self._intake.take(limit_bytes)

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
        self._intake.drop()

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
