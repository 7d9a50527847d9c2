"""Connections that are joined to the master, in pairs: one from somebody, one to the master."""

import errno
import socket
import time
from typing import Callable, Dict, List

from .limits import Limits
from .sockets import READ, WRITE, Sockets
from .turns import first_to_go, source_of

BUFFER_BYTES = 256 * 1024  # so much waits for each end, and a piece more
UNANSWERED_S = 2.0  # a pair that the master has not answered for so long gives way to another


class End:
    """One end of a pair, and what waits to be written to it."""

    def __init__(self, pair: "Pair", sock: socket.socket) -> None:
        self.pair = pair
        self.sock = sock
        self.waiting = bytearray()
        self.other = self
        self.has_ended = False  # nothing more is read from it
        self.is_shut = False  # nothing more is written to it


class Pair:
    """Somebody's connection, and the one to the master that it is joined to."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = End(self, near), End(self, far)
        self.near.other, self.far.other = self.far, self.near
        self.begun_at = time.monotonic()


class Pairs:
    """All pairs; it moves what they say.

    Args:
        sockets: watches both ends of each.
        limits: how many there may be.
        refused: called with somebody's connection when the master could not be connected to.
        has_room: called when the place of a pair may be had by another.
    """

    def __init__(
        self,
        sockets: Sockets,
        limits: Limits,
        refused: Callable[[socket.socket], None],
        has_room: Callable[[], None],
    ) -> None:
        self._sockets = sockets
        self._limits = limits
        self._refused = refused
        self._has_room = has_room
        # the oldest first
        self._all: Dict[Pair, None] = {}
        self._unanswered: Dict[Pair, str] = {}  # by the master; where each comes from

    @property
    def sources(self) -> List[str]:
        """Where those come from whom the master has not answered."""
        return list(self._unanswered.values())

    def make_room(self, source: str) -> bool:
        """Return whether there may be one more pair, with a connection from some source.

        An unanswered one may give way: of a source that has more of them, or the oldest.
        """
        if len(self._all) < self._limits.joined and len(self._unanswered) < self._limits.unanswered:
            return True
        if not self._unanswered:
            return False
        greediest, count = first_to_go(self._unanswered)
        if count > self.sources.count(source) + 1:
            self.drop(greediest)
            return True
        oldest = next(iter(self._unanswered))
        if oldest.begun_at < time.monotonic() - UNANSWERED_S:
            self.drop(oldest)
            return True
        return False

    def join(self, near: socket.socket, port: int) -> bool:
        """Begin to join a connection to the master; return False if the master refuses that.

        Raises OSError if the system has no descriptors or no memory for it.
        """
        far = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            far.setblocking(False)
            if far.connect_ex(("127.0.0.1", port)) not in (0, errno.EINPROGRESS):
                far.close()
                return False
            pair = Pair(near, far)
            self._sockets.watch(far, WRITE, lambda *_: self._connected(pair))
        except OSError:
            far.close()
            raise
        self._all[pair] = None
        self._unanswered[pair] = source_of(near)
        return True

    def _connected(self, pair: Pair) -> None:
        """A connection to the master is made, or has failed."""
        near, far = pair.near.sock, pair.far.sock
        if far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._all.pop(pair, None)
            self._unanswered.pop(pair, None)
            self._sockets.close(far)
            self._refused(near)
            return
        self._sockets.leave(far)
        try:
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for end in (pair.near, pair.far):
                self._watch(end)
        except OSError:
            self.drop(pair)

    # ---- moving what they say

    def _watch(self, end: End) -> None:
        """Wait for what an end is ready for."""
        wanted = 0
        if not end.has_ended and len(end.other.waiting) < BUFFER_BYTES:
            wanted |= READ
        if end.waiting:
            wanted |= WRITE
        self._sockets.watch(end.sock, wanted, lambda _, events: self._serve(end, events))

    def _serve(self, end: End, events: int) -> None:
        """Read from an end, or write to it."""
        try:
            self._move(end, events)
            if not (end.is_shut and end.other.is_shut):
                for each in (end, end.other):
                    self._watch(each)
                return
        except OSError:
            pass
        self.drop(end.pair)

    def _move(self, end: End, events: int) -> None:
        """Move what an end is ready for."""
        if events & WRITE:
            _write(end)
        if events & READ:
            try:
                data = end.sock.recv(BUFFER_BYTES)
            except BlockingIOError:
                return
            if data:
                end.other.waiting += data
                if end is end.pair.far:
                    self._answered(end.pair)
                _write(end.other)
            else:
                end.has_ended = True
        for each in (end, end.other):
            if each.other.has_ended and not each.waiting and not each.is_shut:
                each.is_shut = True
                each.sock.shutdown(socket.SHUT_WR)

    def _answered(self, pair: Pair) -> None:
        """The master has answered, or the pair has ended: another may have its place."""
        if pair in self._unanswered:
            del self._unanswered[pair]
            self._has_room()

    # ---- their end

    def drop(self, pair: Pair) -> None:
        """Close a pair: a slave dials again."""
        self._all.pop(pair, None)
        self._answered(pair)
        self._sockets.close(pair.near.sock)
        self._sockets.close(pair.far.sock)

    def drop_all(self) -> None:
        """Close all pairs."""
        for pair in list(self._all):
            self.drop(pair)

    def forget(self, sock: socket.socket) -> None:
        """Close the pair that a socket belongs to, if there is one."""
        for pair in [pair for pair in self._all if sock in (pair.near.sock, pair.far.sock)]:
            self.drop(pair)


def _write(end: End) -> None:
    """Write what waits for an end."""
    while end.waiting:
        try:
            count = end.sock.send(end.waiting)
        except BlockingIOError:
            return
        del end.waiting[:count]
