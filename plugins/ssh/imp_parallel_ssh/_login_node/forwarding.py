"""Joins channels of SSH connections to sockets of this machine, in one thread for all of them.

Anybody who can reach a relay can have a channel opened. A channel takes one descriptor of this
process at most until somebody has spoken in it; then it is joined to a socket, if few others are
there that have not proved that they belong to the run. When there are many, the others wait, and
the oldest of those gives way.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from imp_parallel_core import proofs

from .._connection import ForwardedStream

_READ_BYTES = 1 << 18
_SILENT = 256  # channels in which nobody has spoken, at a time; the oldest gives way to a new one
_SILENT_WITH_DESCRIPTORS = 64  # as many if each takes a descriptor
_WAITING = 256  # channels in which somebody has spoken, and that wait; one more is closed
_UNPROVED = 32  # joints that have proved nothing, at a time; each takes two or three descriptors
_UNDISTURBED_S = 1.0  # when there are so many, an older one gives way
_PROVED_S = 15.0  # a transport tolerates nobody for so long who does not belong to the run
_LOOK_S = 0.1  # how often one looks for room, while any wait

Connect = Callable[[], socket.socket]
_Selectable = Any  # a socket, or a stream that has a descriptor: typeshed knows none that may not


class _Joint:
    """A channel and a socket that are joined.

    Args:
        stream: the channel's.
        connected: the socket.
        word: what was said first in the channel.
    """

    def __init__(self, stream: ForwardedStream, connected: socket.socket, word: bytes) -> None:
        self.stream = stream
        self.has_descriptor = stream.fileno() is not None
        self.socket = connected
        self.address = connected.getsockname()
        self.since = time.monotonic()
        self.to_socket: memoryview = memoryview(word)
        self.to_stream: memoryview = memoryview(b"")
        self.stream_ended = False
        self.socket_ended = False
        self.is_over = False


class Splicer:
    """The thread, and what it joins."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_up, self._woken = socket.socketpair()
        self._wake_up.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        # the oldest first
        self._silent: dict[ForwardedStream, Connect] = {}
        self._waiting: deque[tuple[ForwardedStream, Connect, bytes]] = deque()  # they have spoken
        self._unproved: dict[_Joint, None] = {}
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="imp_parallel ssh relay", daemon=True).start()

    def join(self, stream: ForwardedStream, connect: Connect) -> None:
        """Join a channel to a socket, when somebody has spoken in it; called from any thread.

        Args:
            stream: the channel's.
            connect: makes the socket, in the splicer's thread; raises OSError if it can't.
        """
        self._post(lambda: self._knocks(stream, connect))

    def _post(self, function: Callable[[], None]) -> None:
        self._posted.put(function)
        with contextlib.suppress(OSError):
            self._wake_up.send(b"\0")

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(_LOOK_S if self._waiting else None):
                if key.data is not None:
                    key.data()
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(4096)
            while not self._posted.empty():
                self._posted.get()()
            self._let_in()

    # ---- those who have proved nothing

    def _knocks(self, stream: ForwardedStream, connect: Connect) -> None:
        has_descriptor = stream.fileno() is not None
        if len(self._silent) >= (_SILENT_WITH_DESCRIPTORS if has_descriptor else _SILENT):
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            self._give_up(oldest)
        self._silent[stream] = connect
        if has_descriptor:
            self._select(stream, True, False, lambda: self._speaks(stream))
        else:
            stream.on_wake_up(lambda: self._post(lambda: self._speaks(stream)))
        self._speaks(stream)

    def _speaks(self, stream: ForwardedStream) -> None:
        """Somebody has spoken in a channel for the first time, perhaps, or has gone."""
        if stream not in self._silent:
            return
        try:
            word = stream.receive(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            word = b""
        connect = self._silent.pop(stream)
        self._forget(stream)
        if word and len(self._waiting) < _WAITING:
            self._waiting.append((stream, connect, word))
        else:
            self._give_up(stream)

    def _let_in(self) -> None:
        """Join those who have spoken, as far as there is room for them."""
        while self._waiting and self._has_room(time.monotonic()):
            self._begin(*self._waiting.popleft())

    def _has_room(self, now: float) -> bool:
        """Return whether one more may be there; the oldest gives way if that is necessary."""
        while len(self._unproved) >= _UNPROVED:
            oldest = next(iter(self._unproved))
            if now - oldest.since >= _PROVED_S:
                self._proved(oldest)
            elif now - oldest.since >= _UNDISTURBED_S:
                self._end(oldest)
            else:
                return False
        return True

    def _proved(self, joint: _Joint) -> None:
        if joint in self._unproved:
            del self._unproved[joint]
            proofs.expect_none(joint.address)

    # ---- joints

    def _begin(self, stream: ForwardedStream, connect: Connect, word: bytes) -> None:
        try:
            connected = connect()
            connected.setblocking(False)
            joint = _Joint(stream, connected, word)
        except OSError:
            self._give_up(stream)
            return
        self._unproved[joint] = None
        proofs.expect_proof(joint.address, lambda: self._post(lambda: self._proved(joint)))
        if not joint.has_descriptor:
            stream.on_wake_up(lambda: self._post(lambda: self._serve(joint)))
        self._serve(joint)

    def _serve(self, joint: _Joint) -> None:
        """Move what can be moved, in both directions."""
        if joint.is_over:
            return
        try:
            self._from_stream(joint)
            self._from_socket(joint)
        except OSError:
            joint.stream_ended = joint.socket_ended = True
            joint.to_socket = joint.to_stream = memoryview(b"")
        is_done = (joint.stream_ended and not joint.to_socket) or (
            joint.socket_ended and not joint.to_stream
        )
        if is_done:
            self._end(joint)
        else:
            self._watch(joint)

    def _from_stream(self, joint: _Joint) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                if joint.to_socket:
                    joint.to_socket = joint.to_socket[joint.socket.send(joint.to_socket) :]
                    continue
                if joint.stream_ended:
                    return
                data = joint.stream.receive(_READ_BYTES)
                joint.stream_ended = not data
                joint.to_socket = memoryview(data)

    def _from_socket(self, joint: _Joint) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                if joint.to_stream:
                    joint.to_stream = joint.to_stream[joint.stream.send([joint.to_stream]) :]
                    continue
                if joint.socket_ended:
                    return
                data = joint.socket.recv(_READ_BYTES)
                joint.socket_ended = not data
                joint.to_stream = memoryview(data)

    def _watch(self, joint: _Joint) -> None:
        def serve() -> None:
            self._serve(joint)

        wants_of_socket = not joint.to_stream and not joint.socket_ended, bool(joint.to_socket)
        self._select(joint.socket, *wants_of_socket, serve)
        if joint.has_descriptor:
            wants_of_stream = not joint.to_socket and not joint.stream_ended, bool(joint.to_stream)
            self._select(joint.stream, *wants_of_stream, serve)

    def _end(self, joint: _Joint) -> None:
        joint.is_over = True
        self._proved(joint)
        self._forget(joint.socket)
        joint.socket.close()
        self._give_up(joint.stream)

    # ---- what is waited for

    def _select(
        self, what: _Selectable, to_read: bool, to_write: bool, function: Callable[[], None]
    ) -> None:
        """Have a function called when something with a descriptor is ready, or no more."""
        wanted = selectors.EVENT_READ * to_read | selectors.EVENT_WRITE * to_write
        known = self._selector.get_map().get(what)
        if known is not None and not wanted:
            self._selector.unregister(what)
        elif known is None and wanted:
            self._selector.register(what, wanted, function)
        elif known is not None and known.events != wanted:
            self._selector.modify(what, wanted, function)

    def _forget(self, what: _Selectable) -> None:
        if what.fileno() is not None and self._selector.get_map().get(what) is not None:
            self._selector.unregister(what)

    def _give_up(self, stream: ForwardedStream) -> None:
        self._forget(stream)
        stream.give_up()


_splicer: Splicer | None = None
_lock = threading.Lock()


def splicer() -> Splicer:
    """Return the one of this process."""
    global _splicer
    with _lock:
        if _splicer is None:
            _splicer = Splicer()
        return _splicer


def _forked() -> None:
    global _splicer, _lock
    _splicer = None  # its thread is the parent's
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
