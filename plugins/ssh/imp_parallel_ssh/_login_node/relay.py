"""The master's end of a relay: what connects to the relay there is connected to the master here."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from imp_parallel_core import Error, LaunchError, explained

from .._channel_wait import StreamWait
from .._programs.joiner import joined_program
from .forwarding import forwarder
from .keeper import Answer, RelayGoneError, start_keeper

if TYPE_CHECKING:
    from .._connection import Channel, Connection, ForwardedStream

_logger = logging.getLogger("imp_parallel.ssh")

_ALIVE_S = 2.0
_RETRY_S = 1.0
_BYE_S = 2.0
_REPORT_BYTES = 1 << 16
_REPORTS = 20
_LAST_S = 1.0  # for the host to take back what it forwards


def relay_program() -> bytes:
    """Return the source of the relay, with all that it needs."""
    return joined_program("imp_parallel_ssh._programs.relay")


class RelayHost(Protocol):
    """What a relay needs of the host that it runs on, such as :class:`.ssh_host.SSHHost`."""

    def connection(self) -> Connection:
        """Return the connection, and make it if there is none. Raises LaunchError."""

    def write_file(self, path: str, data: bytes) -> None:
        """Make a new file."""

    def relay_ended(self) -> None:
        """Note the end of this relay: the connection may not be needed any more."""

    def close_unless_relayed(self) -> None:
        """Close the connection if no relay needs it."""


class SSHRelay:
    """A relay on a host: it outlives the SSH connection, which is made again when it is lost.

    Args:
        host: where it runs.
        targets: addresses of this process, any of which will do.
        folder: a folder there that is the relay's to remove at its end.
        patience_s: how long it holds connections when the SSH connection is lost.
        listen_at: the only address for it to listen at.

    Raises LaunchError if it can't be started.
    """

    def __init__(
        self,
        host: RelayHost,
        targets: Sequence[str],
        *,
        folder: str,
        patience_s: float,
        listen_at: str | None,
    ) -> None:
        self._host = host
        self._targets = list(targets)
        self._patience_s = patience_s
        self._program = f"{folder}/relay.py"
        self._said, self._reports_left = b"", _REPORTS
        self._is_closed = threading.Event()
        host.write_file(self._program, relay_program())
        words = ("serve", f"{patience_s:g}", listen_at or "", folder)
        self._channel, said = self._start(*words)
        self.addresses: Sequence[str] = said.addresses
        """The addresses at which slaves reach the master."""
        self._socket = said.socket
        self._waiter = StreamWait(self._channel.stream)
        self._thread = threading.Thread(
            target=self._stay_attached, name=f"imp_parallel ssh relay on {host!r}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the relay; may be called twice. It takes 3 s at most, also if nobody answers."""
        if not self._is_closed.is_set():
            self._is_closed.set()
            self._waiter.wake()
            self._thread.join(_BYE_S + _LAST_S)
            self._host.relay_ended()

    # ---- starting, and attaching again

    def _start(self, *words: str) -> tuple[Channel, Answer]:
        """Start a keeper, which speaks to the relay, and lead the relay to this process."""
        connection = self._connection()
        port = self._forward(connection)
        try:
            channel, said = start_keeper(
                connection, (self._program, *words), port, repr(self._host), self._is_closed
            )
        except BaseException:
            _take_back(connection, port)
            raise
        self._forwarded = connection, port
        return channel, said

    def _connection(self) -> Connection:
        """Return the connection. Raises LaunchError, also if the relay was closed meanwhile."""
        connection = self._host.connection()
        if self._is_closed.is_set():  # perhaps long ago, when nobody waited for us any more
            self._host.close_unless_relayed()
            raise LaunchError(f"the relay on {self._host!r} has been closed")
        return connection

    def _forward(self, connection: Connection) -> int:
        try:
            return connection.forward(self._connected)
        except PermissionError as problem:
            text = (
                f"{self._host!r} does not forward connections to this machine: {problem}. Slaves "
                "beyond it can't reach the script then: its sshd would need AllowTcpForwarding "
                "yes (or remote)."
            )
            raise LaunchError(explained(text, "no-forwarding")) from problem
        except OSError as problem:
            raise LaunchError(
                f"{self._host!r} could not be asked to forward connections: {problem}"
            ) from problem

    def _take_reports(self, data: bytes) -> None:
        """Log what the relay says that went wrong in it."""
        self._said = (self._said + data)[-_REPORT_BYTES:]
        *lines, self._said = self._said.split(b"\n")
        for line in lines[: self._reports_left]:
            self._reports_left -= 1
            try:
                trouble = json.loads(line)["trouble"]
            except (ValueError, TypeError, KeyError):
                trouble = line.decode(errors="replace")
            _logger.warning("the relay on %r has trouble: %r", self._host, trouble)

    def _connected(self, stream: ForwardedStream) -> None:
        """Somebody has connected there; called in the connection's thread."""
        forwarder().join(stream, self._dial)

    def _dial(self) -> socket.socket:
        problem = OSError("there is no address to connect to")
        for address in reversed(self._targets):  # that of the loopback is the last
            host, _, port = address.rpartition(":")
            try:
                made = socket.create_connection((host.strip("[]"), int(port)), timeout=2.0)
            except OSError as found:
                problem = found
                continue
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
        raise problem

    # ---- the thread

    def _stay_attached(self) -> None:
        """Tell the relay, again and again, that we are here; find it again when SSH was lost."""
        while True:
            self._waiter = StreamWait(self._channel.stream)
            while not self._is_closed.is_set() and self._is_heard():
                self._waiter.wait(_ALIVE_S)
            if self._is_closed.is_set():
                self._say_bye()
                return
            self._channel.close()
            _take_back(*self._forwarded)
            if not self._attach():
                return

    def _is_heard(self) -> bool:
        """Tell the relay that we are here; return whether the way to it still stands."""
        stream = self._channel.stream
        try:
            stream.send([b"\n"])
        except BlockingIOError:
            pass
        except OSError:
            return False
        try:
            return self._still_there()
        except OSError:
            return False

    def _attach(self) -> bool:
        deadline = time.monotonic() + self._patience_s
        why = ""
        while time.monotonic() < deadline:
            try:
                self._channel, _ = self._start("attach", self._socket)
            except RelayGoneError as problem:
                why = str(problem)
                break
            except (Error, OSError) as problem:
                why = str(problem)
                _logger.info("%r: %s", self._host, why)
                if self._is_closed.wait(_RETRY_S):
                    return False
            else:
                _logger.info("%r is reached again", self._host)
                return True
        _logger.warning("%r can't be reached any more; its slaves are lost: %s", self._host, why)
        return False

    def _say_bye(self) -> None:
        """Let the relay go; the keeper ends when it has passed that on."""
        deadline = time.monotonic() + _BYE_S
        try:
            self._channel.stream.send([b"bye\n"])
            while time.monotonic() < deadline and self._still_there():
                self._waiter.wait(0.1)
        except OSError:
            pass  # it will notice
        self._channel.close()
        _take_back(*self._forwarded)

    def _still_there(self) -> bool:
        try:
            while data := self._channel.stream.receive(4096):
                self._take_reports(data)
        except BlockingIOError:
            return True
        return False


def _take_back(connection: Connection, port: int) -> None:
    """Have a host listen no more for a relay."""
    try:
        connection.stop_forwarding(port)
    except OSError:
        pass  # it ended with the connection
