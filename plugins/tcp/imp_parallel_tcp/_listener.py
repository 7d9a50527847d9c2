"""The master's port: strangers may connect in any manner, and only slaves of the run get a session.

A thread of its own accepts connections, makes TLS handshakes without waiting for any of them, and
hands over the connections that have proved which slave they belong to. Before that, only the length
of a peer's first record is read here, the rest by the TLS library, and then the few bytes of the
proof. Peers that idle are bounded in number and in time, so that they cost little and can't keep a
slave out. Connections whose first record has not come yet give way first, and soon, since a slave
sends it as soon as it is connected. The others are heard in turns of the addresses that they come
from.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import selectors
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from imp_parallel_core.proofs import note_proof

from ._credentials import RunCredentials
from ._newcomer import Newcomer
from ._tls_stream import TlsStream
from ._turns import first_to_go, in_turns, source_of

_logger = logging.getLogger("imp_parallel.tcp")

_HANDSHAKE_S = 10.0
_SILENT = 1024  # connections that have said nothing, at a time; each takes a descriptor …
_SILENT_SHARE = 4  # … of which no more than one in so many may go to them
_SILENT_S = 0.2  # when there are so many, an older one gives way to a new one
_SPEAKING = 128  # handshakes at a time; each takes some 50 KiB
_UNDISTURBED_S = 1.0  # likewise
_ACCEPTED_AT_ONCE = 32
_REST_S = 0.2  # when the system is out of descriptors or memory


def _silent_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _SILENT if soft == resource.RLIM_INFINITY else min(_SILENT, soft // _SILENT_SHARE)


class Listener(threading.Thread):
    """Accepts connections, and hands over those of slaves.

    Args:
        sockets: what to accept connections from.
        credentials: the run's.
        accept: is given a slave's index and its stream.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        credentials: RunCredentials,
        accept: Callable[[int, TlsStream], None],
    ) -> None:
        super().__init__(name="imp_parallel tcp", daemon=True)
        self._sockets = sockets
        self._credentials = credentials
        self._accept = accept
        # by descriptor, the oldest first
        self._silent: dict[int, Newcomer] = {}
        self._waiting: dict[int, Newcomer] = {}  # to speak, when others have done
        self._speaking: dict[int, Newcomer] = {}
        self._silent_limit = _silent_limit()
        self._selector = selectors.DefaultSelector()
        self._is_listening = False
        self._rests_until = 0.0
        self._wake_up, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._is_closed = False
        _all_listeners.add(self)

    def run(self) -> None:
        """Accept and authenticate connections until :meth:`close`."""
        try:
            while not self._is_closed:
                self._listen_if_there_is_room(time.monotonic())
                for key, _ in self._selector.select(self._wait_s()):
                    if isinstance(key.data, Newcomer):
                        self._heard(key.data)
                    elif key.data is not None:
                        self._accept_from(key.data)
                self._hear_those_who_wait()
                self._turn_away_the_slow(time.monotonic())
        finally:
            self.abandon()

    def close(self) -> None:
        """Accept no more connections; may be called twice, from any thread."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._wake_up.send(b"\0")
        if self.is_alive() and threading.current_thread() is not self:
            self.join(2.0)

    def abandon(self) -> None:
        """Close this process's ends of everything."""
        self._is_closed = True
        for newcomers in (self._silent, self._waiting, self._speaking):
            for newcomer in newcomers.values():
                newcomer.socket.close()
            newcomers.clear()
        for end in (*self._sockets, self._wake_up, self._woken):
            end.close()
        self._selector.close()

    def _wait_s(self) -> float:
        if not self._is_listening or self._waiting:
            return _REST_S / 4
        return _HANDSHAKE_S / 10 if self._silent or self._speaking else 3600.0

    # ---- connections

    def _listen_if_there_is_room(self, now: float) -> None:
        """Leave connections in the system's queue while all that wait here deserve their time."""
        has_room = len(self._silent) < self._room or _oldest_s(self._silent) >= _SILENT_S
        wanted = has_room and now >= self._rests_until
        if wanted != self._is_listening:
            self._is_listening = wanted
            for listening in self._sockets:
                if wanted:
                    self._selector.register(listening, selectors.EVENT_READ, listening)
                else:
                    self._selector.unregister(listening)

    @property
    def _room(self) -> int:
        """How many may be silent, beside those that wait to be heard."""
        return self._silent_limit - len(self._waiting)

    def _accept_from(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if not self._make_room(self._silent, self._room, _SILENT_S):
                return
            try:
                connected, address = listening.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as problem:  # out of descriptors or memory
                _logger.warning("can't accept connections: %s", problem)
                self._rests_until = time.monotonic() + _REST_S
                for oldest in list(self._silent.values())[:_ACCEPTED_AT_ONCE]:
                    self._turn_away(oldest, "the system is at its limits")
                return
            newcomer = Newcomer(connected, source_of(address))
            self._silent[connected.fileno()] = newcomer
            self._selector.register(connected, selectors.EVENT_READ, newcomer)

    def _make_room(self, newcomers: dict[int, Newcomer], limit: int, undisturbed_s: float) -> bool:
        """Have the oldest of some newcomers give way if necessary; return whether there is room."""
        if len(newcomers) >= limit:
            if _oldest_s(newcomers) < undisturbed_s:
                return False
            self._turn_away(next(iter(newcomers.values())), "others wait")
        return True

    def _heard(self, newcomer: Newcomer) -> None:
        descriptor = newcomer.socket.fileno()
        if descriptor in self._speaking:
            self._advance(newcomer)
        elif descriptor in self._silent:  # else it had to give way just now
            try:
                if not newcomer.has_greeted():
                    return
            except OSError as problem:  # it has gone already
                self._turn_away(newcomer, str(problem))
                return
            del self._silent[descriptor]
            self._selector.unregister(newcomer.socket)
            self._waiting[descriptor] = newcomer

    def _hear_those_who_wait(self) -> None:
        for newcomer in in_turns(self._waiting.values(), self._speaking.values()):
            if not self._has_room_to_speak(newcomer):
                break
            descriptor = newcomer.socket.fileno()
            del self._waiting[descriptor]
            try:
                newcomer.speaks(self._credentials)
            except OSError:  # it has gone already
                newcomer.socket.close()
                continue
            self._speaking[descriptor] = newcomer
            self._selector.register(newcomer.socket, selectors.EVENT_READ, newcomer)
            self._advance(newcomer)
        self._shorten_the_queue()

    def _shorten_the_queue(self) -> None:
        """Leave room for those who have not been accepted yet: they may be of other sources."""
        while len(self._waiting) > self._silent_limit // 2:
            oldest, _ = first_to_go(self._waiting.values())
            if time.monotonic() - oldest.since < _UNDISTURBED_S:
                return
            del self._waiting[oldest.socket.fileno()]
            oldest.socket.close()

    def _has_room_to_speak(self, newcomer: Newcomer) -> bool:
        """Have one of a source with more connections give way if necessary, or one that is slow."""
        if len(self._speaking) < _SPEAKING:
            return True
        greediest, count = first_to_go(self._speaking.values())
        own = sum(other.source == newcomer.source for other in self._speaking.values())
        if count > own + 1:
            self._turn_away(greediest, "others wait")
            return True
        return self._make_room(self._speaking, _SPEAKING, _UNDISTURBED_S)

    def _advance(self, newcomer: Newcomer) -> None:
        try:
            index, stream = newcomer.advance()
        except ssl.SSLWantReadError:
            self._selector.modify(newcomer.socket, selectors.EVENT_READ, newcomer)
        except ssl.SSLWantWriteError:
            self._selector.modify(newcomer.socket, selectors.EVENT_WRITE, newcomer)
        except (OSError, ValueError) as problem:
            self._turn_away(newcomer, str(problem))
        else:
            self._forget(newcomer)
            with contextlib.suppress(OSError):  # it may have gone again
                note_proof(newcomer.socket.getpeername())
            self._accept(index, stream)

    def _turn_away_the_slow(self, now: float) -> None:
        for newcomers in (self._silent, self._speaking):
            for newcomer in list(newcomers.values()):
                if now - newcomer.since < _HANDSHAKE_S:
                    break  # the others are younger
                self._turn_away(newcomer, f"it took longer than {_HANDSHAKE_S:g} s")

    def _turn_away(self, newcomer: Newcomer, why: str) -> None:
        _logger.debug("turned a connection away: %s", why)
        self._forget(newcomer)
        newcomer.socket.close()

    def _forget(self, newcomer: Newcomer) -> None:
        descriptor = newcomer.socket.fileno()
        self._silent.pop(descriptor, None)
        self._speaking.pop(descriptor, None)
        self._selector.unregister(newcomer.socket)


def _oldest_s(newcomers: dict[int, Newcomer]) -> float:
    """Return for how long the oldest newcomer has been there; 0 if there is none."""
    oldest = next(iter(newcomers.values()), None)
    return 0.0 if oldest is None else time.monotonic() - oldest.since


_all_listeners: weakref.WeakSet[Listener] = weakref.WeakSet()


def _abandon_all() -> None:
    """In a forked child: its parent's slaves must find nobody here when the parent has gone."""
    for listener in list(_all_listeners):
        listener.abandon()
    _all_listeners.clear()


os.register_at_fork(after_in_child=_abandon_all)
