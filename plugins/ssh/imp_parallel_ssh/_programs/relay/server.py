"""The loop of the relay: it accepts connections, has them wait, and joins them to the master."""

import errno
import socket
import time
from typing import Dict, List, Optional

from .first_record import has_come, wake_for_a_byte
from .limits import RESERVED, Limits
from .master_link import MasterLink
from .pairs import Pairs
from .sockets import READ, Handler, Sockets
from .turns import first_to_go, in_turns, source_of

SILENT_S = 0.2  # when too many wait, one that has said nothing for so long gives way, …
HELD_S = 2.0  # … or one that has spoken, and waits for the master
REST_S = 0.2  # when the system is out of descriptors or memory
RETRY_S = 0.2
_OUT_OF_THEM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC)


class RelayServer:
    """What the relay does in the background.

    Args:
        listening: where it is reached.
        keepers: where keepers connect.
        patience_s: how long it stays without a master.
        descriptors: how many this process may have.

    Attributes:
        master: what it knows of the master.
    """

    def __init__(
        self,
        listening: List[socket.socket],
        keepers: socket.socket,
        patience_s: float,
        descriptors: int,
    ) -> None:
        self._sockets = Sockets()
        self._limits = Limits(descriptors)
        self._listening = listening
        self.master = MasterLink(self._sockets, keepers, patience_s, self._master_moved)
        self._pairs = Pairs(self._sockets, self._limits, self._hold, self._join_soon)
        # the oldest first
        self._silent: Dict[socket.socket, float] = {}  # since when
        self._held: Dict[socket.socket, str] = {}  # they have spoken; where each comes from
        self._held_since: Dict[socket.socket, float] = {}
        self._is_listening = False
        self._rests_until = 0.0
        self._retry_at: Optional[float] = None

    def run(self) -> None:
        """Relay, until the master has gone."""
        while True:
            now = time.monotonic()
            if self.master.leave_at is not None and now >= self.master.leave_at:
                return
            if self._retry_at is not None and now >= self._retry_at:
                self._retry_at = None
                self._join_held()
            self._listen_if_there_is_room(now)
            for sock, handler, events in self._sockets.ready(self._wait_s(now)):
                self.handle(sock, handler, events)

    def _wait_s(self, now: float) -> Optional[float]:
        """Return how long to wait for an event."""
        dues = [due for due in (self.master.leave_at, self._retry_at) if due is not None]
        if not self._is_listening:
            dues.append(now + REST_S)
        return max(0.0, min(dues) - now) if dues else None

    def abandon(self) -> None:
        """Close everything, so that there are descriptors for what is still to be done."""
        self._pairs.drop_all()
        everything = [*self._silent, *self._held, *self._listening, self.master.listening]
        for sock in [*everything, self.master.keeper]:
            if sock is not None:
                self._close(sock)
        self._sockets.end()

    # ---- what goes wrong

    def handle(self, sock: socket.socket, handler: Handler, events: int) -> None:
        """Handle an event; whatever goes wrong in it concerns one connection only."""
        try:
            handler(sock, events)
        except BlockingIOError:
            pass
        except Exception as problem:
            if not isinstance(problem, OSError):  # a bug: the connection may be in any state
                self.master.report()
                problem = OSError(str(problem))
            if sock in self._listening:
                self._rest(problem)
            elif sock is self.master.listening:  # it is ready all the time
                self._rest(problem)
                time.sleep(REST_S)
            elif sock is self.master.keeper:
                self.master.lose_keeper()
            else:
                self._pairs.forget(sock)
                self._close(sock)

    def _rest(self, problem: OSError) -> None:
        """Accept nothing for a while, so that others can give descriptors back.

        Here the connections that have said nothing give theirs back.
        """
        if problem.errno in _OUT_OF_THEM:
            for sock in [*self._silent][: RESERVED // 2]:
                self._close(sock)
        self._rests_until = time.monotonic() + REST_S

    def _close(self, sock: socket.socket) -> None:
        """Close somebody's connection that waits."""
        self._silent.pop(sock, None)
        self._let_go(sock)
        self._sockets.close(sock)

    # ---- connections that have said nothing

    def _listen_if_there_is_room(self, now: float) -> None:
        """Leave connections in the system's queue while there is no room for them here."""
        wanted = now >= self._rests_until and self._has_room(now)
        if wanted != self._is_listening:
            self._is_listening = wanted
            for each in self._listening:
                self._sockets.watch(each, READ if wanted else 0, self._accept)

    def _has_room(self, now: float) -> bool:
        """Return whether one more may wait, perhaps in the place of another."""
        if len(self._silent) + len(self._held) < self._limits.waiting:
            return True
        return self._who_gives_way(now) is not None

    def _who_gives_way(self, now: float) -> Optional[socket.socket]:
        """Return the oldest silent connection, or the oldest held one of the source with most."""
        for sock, since in self._silent.items():
            if now - since >= SILENT_S:
                return sock
            break
        if len(self._held) > self._limits.waiting // 2:
            sock, _ = first_to_go(self._held)
            if now - self._held_since[sock] >= HELD_S:
                return sock
        return None

    def _accept(self, listening: socket.socket, events: int) -> None:
        """Somebody has connected."""
        now = time.monotonic()
        if not self._has_room(now):
            return
        try:
            accepted = listening.accept()[0]
        except ConnectionError:
            return
        if len(self._silent) + len(self._held) >= self._limits.waiting:
            other = self._who_gives_way(now)
            if other is not None:
                self._close(other)
        self._silent[accepted] = now
        accepted.setblocking(False)
        self._sockets.watch(accepted, READ, self._take_first_word)

    def _take_first_word(self, sock: socket.socket, events: int) -> None:
        """Somebody has said something, or has gone without a word."""
        if not has_come(sock):
            return
        if not sock.recv(1, socket.MSG_PEEK):
            self._close(sock)
            return
        wake_for_a_byte(sock)
        self._sockets.leave(sock)
        del self._silent[sock]
        self._join(sock)

    # ---- connections that have spoken, and wait for the master

    def _master_moved(self) -> None:
        self._pairs.drop_all()  # they lead to where the master was
        self._retry_at = time.monotonic()

    def _join_soon(self) -> None:
        if self._held:
            self._retry_at = time.monotonic()

    def _join_held(self) -> None:
        """Try again to join those who wait for the master."""
        for sock in in_turns(self._held, self._pairs.sources):
            if sock not in self._held:
                continue
            if not self._can_join(self._held[sock]):
                return
            self._let_go(sock)
            self.handle(sock, self._join, 0)

    def _can_join(self, source: str) -> bool:
        """Return whether the master is there, and may be connected to once more for a source."""
        if not self.master.is_there:
            return False
        if self._pairs.make_room(source):
            return True
        self._retry_at = time.monotonic() + RETRY_S
        return False

    def _join(self, near: socket.socket, events: int = 0) -> None:
        """Join a connection to one to the master; hold it while that isn't possible."""
        if self.master.port is None or not self._can_join(source_of(near)):
            self._hold(near)
            return
        try:
            if not self._pairs.join(near, self.master.port):
                self._hold(near)
        except OSError as problem:
            self._hold(near)
            self._rest(problem)

    def _hold(self, near: socket.socket) -> None:
        """Let somebody wait for the master."""
        self._held[near] = source_of(near)
        self._held_since[near] = time.monotonic()
        if self._retry_at is None and self.master.is_there:
            self._retry_at = time.monotonic() + RETRY_S

    def _let_go(self, near: socket.socket) -> None:
        """Hold somebody no more."""
        self._held.pop(near, None)
        self._held_since.pop(near, None)
