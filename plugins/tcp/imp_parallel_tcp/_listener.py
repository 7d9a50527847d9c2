"""The master's door: strangers may knock in any number and manner; who has the key comes in.

A thread of its own accepts connections, makes TLS handshakes without waiting for any of them, and
hands over those that proved to belong to the run. Until then nothing of a peer is looked at but by
the TLS library. Peers that idle are bounded in number and in time, so that they cost little and
can't keep a slave out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from ._tls import INDEX, Credentials
from ._tls_stream import TlsStream, prepare

_logger = logging.getLogger("imp_parallel.tcp")

_HANDSHAKE_S = 10.0
_NEWCOMERS = 128  # handshakes at a time; each takes a descriptor and some 50 KiB
_UNDISTURBED_S = 1.0  # an older one gives way to a new one when there are so many
_ACCEPTED_AT_ONCE = 32
_REST_S = 0.2  # when the system is out of descriptors or memory


class Newcomer:
    """A connection that has not proved anything yet."""

    def __init__(self, connected: socket.socket, credentials: Credentials) -> None:
        self.since = time.monotonic()
        self._credentials = credentials
        self._index = b""
        self._is_secure = False
        connected.setblocking(False)
        prepare(connected)
        self.socket = credentials.context.wrap_socket(
            connected, server_side=True, do_handshake_on_connect=False
        )

    def advance(self) -> int | None:
        """Go on with the handshake; return the slave's index when it is complete.

        Raises ssl.SSLWantReadError or ssl.SSLWantWriteError to wait, another OSError to give up.
        """
        if not self._is_secure:
            self.socket.do_handshake()
            self._credentials.check(self.socket)
            self._is_secure = True
        while len(self._index) < INDEX.size:
            data = self.socket.recv(INDEX.size - len(self._index))
            if not data:
                raise ConnectionError("it ended before it had said which slave it is")
            self._index += data
        if self.socket.pending():
            raise ConnectionError("it said more than its index")
        return int(INDEX.unpack(self._index)[0])


class Listener(threading.Thread):
    """Lets slaves in.

    Args:
        sockets: what to accept connections from.
        credentials: the run's.
        accept: is given a slave's index and its stream.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        credentials: Credentials,
        accept: Callable[[int, TlsStream], None],
    ) -> None:
        super().__init__(name="imp_parallel tcp", daemon=True)
        self._sockets = sockets
        self._credentials = credentials
        self._accept = accept
        self._newcomers: dict[int, Newcomer] = {}  # by descriptor, the oldest first
        self._selector = selectors.DefaultSelector()
        self._is_listening = False
        self._rests_until = 0.0
        self._wake_up, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._is_closed = False
        _all_listeners.add(self)

    def run(self) -> None:
        """Serve the door until it is closed."""
        try:
            while not self._is_closed:
                self._listen_if_there_is_room(time.monotonic())
                for key, _ in self._selector.select(self._wait_s()):
                    if isinstance(key.data, Newcomer):
                        self._advance(key.data)
                    elif key.data is not None:
                        self._let_in(key.data)
                self._turn_away_the_slow(time.monotonic())
        finally:
            self.abandon()

    def close(self) -> None:
        """Close the door; may be called twice, from any thread."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._wake_up.send(b"\0")
        if self.is_alive() and threading.current_thread() is not self:
            self.join(2.0)

    def abandon(self) -> None:
        """Close this process's ends of everything."""
        self._is_closed = True
        for newcomer in self._newcomers.values():
            newcomer.socket.close()
        self._newcomers.clear()
        for end in (*self._sockets, self._wake_up, self._woken):
            end.close()
        self._selector.close()

    def _wait_s(self) -> float:
        if not self._is_listening:
            return _REST_S / 4
        oldest = next(iter(self._newcomers.values()), None)
        return 3600.0 if oldest is None else _HANDSHAKE_S / 10

    # ---- connections

    def _listen_if_there_is_room(self, now: float) -> None:
        """Leave connections in the system's queue while all that wait here deserve their time."""
        oldest = next(iter(self._newcomers.values()), None)
        has_room = len(self._newcomers) < _NEWCOMERS or (
            oldest is not None and now - oldest.since >= _UNDISTURBED_S
        )
        wanted = has_room and now >= self._rests_until
        if wanted != self._is_listening:
            self._is_listening = wanted
            for listening in self._sockets:
                if wanted:
                    self._selector.register(listening, selectors.EVENT_READ, listening)
                else:
                    self._selector.unregister(listening)

    def _let_in(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if len(self._newcomers) >= _NEWCOMERS:
                oldest = next(iter(self._newcomers.values()))
                if time.monotonic() - oldest.since < _UNDISTURBED_S:
                    return
                self._turn_away(oldest, "others wait")
            try:
                connected, _ = listening.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as problem:  # out of descriptors or memory
                _logger.warning("can't accept connections: %s", problem)
                self._rests_until = time.monotonic() + _REST_S
                for oldest in list(self._newcomers.values())[:_ACCEPTED_AT_ONCE]:
                    self._turn_away(oldest, "the system is at its limits")
                return
            try:
                newcomer = Newcomer(connected, self._credentials)
            except OSError:  # it has gone already
                connected.close()
                continue
            self._newcomers[newcomer.socket.fileno()] = newcomer
            self._selector.register(newcomer.socket, selectors.EVENT_READ, newcomer)

    def _advance(self, newcomer: Newcomer) -> None:
        if newcomer.socket.fileno() not in self._newcomers:
            return  # it had to give way a moment ago
        try:
            index = newcomer.advance()
        except ssl.SSLWantReadError:
            self._selector.modify(newcomer.socket, selectors.EVENT_READ, newcomer)
        except ssl.SSLWantWriteError:
            self._selector.modify(newcomer.socket, selectors.EVENT_WRITE, newcomer)
        except (OSError, ValueError) as problem:
            self._turn_away(newcomer, str(problem))
        else:
            self._forget(newcomer)
            if index is not None:
                self._accept(index, TlsStream(newcomer.socket))

    def _turn_away_the_slow(self, now: float) -> None:
        for newcomer in list(self._newcomers.values()):
            if now - newcomer.since < _HANDSHAKE_S:
                return  # the others are younger
            self._turn_away(newcomer, f"it took longer than {_HANDSHAKE_S:g} s")

    def _turn_away(self, newcomer: Newcomer, why: str) -> None:
        _logger.debug("turned a connection away: %s", why)
        self._forget(newcomer)
        newcomer.socket.close()

    def _forget(self, newcomer: Newcomer) -> None:
        del self._newcomers[newcomer.socket.fileno()]
        self._selector.unregister(newcomer.socket)


_all_listeners: weakref.WeakSet[Listener] = weakref.WeakSet()


def _abandon_all() -> None:
    """In a forked child: its parent's slaves must find nobody here when the parent has gone."""
    for listener in list(_all_listeners):
        listener.abandon()
    _all_listeners.clear()


os.register_at_fork(after_in_child=_abandon_all)
