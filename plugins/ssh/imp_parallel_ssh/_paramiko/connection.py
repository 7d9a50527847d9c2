"""A connection over paramiko: its channels, and the thread that writes for all of them.

The engine thread gives and takes bytes here without ever waiting: paramiko's own calls may, for a
socket's buffer, or while keys are exchanged anew. So they are made in the connection's thread.
"""

from __future__ import annotations

import errno
import logging
import queue
import threading
from collections.abc import Callable, Sequence

import paramiko

from imp_parallel_core import printable

from .._connection import Channel
from .stream import ParamikoStream
from .transport import Transport

_logger = logging.getLogger("imp_parallel.ssh")

_OPEN_S = 20.0  # how long the host may take to open a channel


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
        for transport in transports:
            transport.call_soon = self._due.put
        ask = None if is_watched else lambda: self._due.put(self.transport.ask_for_life)
        self.transport.watch(ask, self._ended)

    def start(self, command: str, take_errors: Callable[[bytes], None]) -> Channel:
        """Have the login shell run a command line; see the Protocol."""
        try:
            opened = self.transport.open_channel("session", timeout=_OPEN_S)
            channel = ParamikoChannel(opened, take_errors, self._due.put)
            opened.exec_command(command)
        except (paramiko.SSHException, EOFError) as problem:
            if not _is_refusal(problem):
                raise OSError(errno.ECONNRESET, f"{self.name}: {problem}") from problem
            raise OSError(
                errno.EAGAIN,
                f"{self.name} refuses another channel on this connection: {problem} (sshd's "
                "MaxSessions, or a forced command?)",
            ) from problem
        return channel

    def forward(self, connected: Callable[[ParamikoStream], None]) -> int:
        """Have the host listen at a port of its loopback; return the port.

        Args:
            connected: called in the connection's own thread, which must not wait, with each
                connection that is made there.

        Raises PermissionError if the host does not allow that, another OSError if the connection
        is lost.
        """
        with self._forward_lock:  # paramiko can't tell the answers to two questions apart
            try:
                port = self.transport.request_port_forward("127.0.0.1", 0, self._forwarded)
            except (paramiko.SSHException, EOFError) as problem:
                if self.transport.is_active():
                    raise PermissionError(errno.EACCES, f"{self.name}: {problem}") from problem
                # (paramiko calls it a refusal when it was not answered)
                words = f"{self.name}: the connection was lost"
                raise OSError(errno.ECONNRESET, words) from problem
            self._forwards[port] = connected
        return port

    def stop_forwarding(self, port: int) -> None:
        """Have the host listen there no more. Raises OSError if the connection is lost."""
        with self._forward_lock:
            self._forwards.pop(port, None)
            try:
                self.transport.cancel_port_forward("127.0.0.1", port)
            except (paramiko.SSHException, EOFError) as problem:
                raise OSError(errno.EIO, f"{self.name}: {problem}") from problem

    def _forwarded(
        self, channel: paramiko.Channel, origin: tuple[str, int], server: tuple[str, int]
    ) -> None:
        connected = self._forwards.get(server[1])
        if connected is None:  # its port is not known yet, or not any more
            self._due.put(channel.close)
        else:
            connected(ParamikoStream(channel, lambda data: None, self._due.put))

    def explain_loss(self) -> None:
        """Raise nothing: a login shell that runs no commands says so on its own channel."""

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
            how = printable(f"the connection to {self.name} broke: {problem}")
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


def _is_refusal(problem: Exception) -> bool:
    """Whether the host allows no more channels.

    Of several refusals at the same time, paramiko gives the reason to one caller only.
    """
    said_nothing = str(problem) == "Unable to open channel."
    return isinstance(problem, paramiko.ChannelException) or said_nothing


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
