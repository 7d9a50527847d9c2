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
_UNPROVED = 32  # pairs that have proved nothing, at a time; each takes two or three descriptors
_UNDISTURBED_S = 1.0  # when there are so many, an older one gives way
_PROVED_S = 15.0  # a stranger to the run is closed by the transport before that
_LOOK_S = 0.1  # how often one looks for room, while any wait

Connect = Callable[[], socket.socket]
_Selectable = Any  # a socket, or a stream that has a descriptor: typeshed knows none that may not


class _Pair:
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


class Forwarder:
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
        self._unproved: dict[_Pair, None] = {}
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="imp_parallel ssh relay", daemon=True).start()

    def join(self, stream: ForwardedStream, connect: Connect) -> None:
        """Join a channel to a socket, when somebody has spoken in it; called from any thread.

        Args:
            stream: the channel's.
            connect: makes the socket, in the forwarder's thread; raises OSError if it can't.
        """
        self._post(lambda: self._opened(stream, connect))

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
            self._join_waiting()

    # ---- those who have proved nothing

    def _opened(self, stream: ForwardedStream, connect: Connect) -> None:
        has_descriptor = stream.fileno() is not None
        if len(self._silent) >= (_SILENT_WITH_DESCRIPTORS if has_descriptor else _SILENT):
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            self._give_up(oldest)
        self._silent[stream] = connect
        if has_descriptor:
            self._select(stream, True, False, lambda: self._take_first_word(stream))
        else:
            stream.on_wake_up(lambda: self._post(lambda: self._take_first_word(stream)))
        self._take_first_word(stream)

    def _take_first_word(self, stream: ForwardedStream) -> None:
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

    def _join_waiting(self) -> None:
        """Join those who have spoken, as far as there is room for them."""
        while self._waiting and self._has_room(time.monotonic()):
            self._join(*self._waiting.popleft())

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

    def _proved(self, pair: _Pair) -> None:
        if pair in self._unproved:
            del self._unproved[pair]
            proofs.expect_none(pair.address)

    # ---- pairs

    def _join(self, stream: ForwardedStream, connect: Connect, word: bytes) -> None:
        try:
            connected = connect()
            connected.setblocking(False)
            pair = _Pair(stream, connected, word)
        except OSError:
            self._give_up(stream)
            return
        self._unproved[pair] = None
        proofs.expect_proof(pair.address, lambda: self._post(lambda: self._proved(pair)))
        if not pair.has_descriptor:
            stream.on_wake_up(lambda: self._post(lambda: self._serve(pair)))
        self._serve(pair)

    def _serve(self, pair: _Pair) -> None:
        """Move what can be moved, in both directions."""
        if pair.is_over:
            return
        try:
            self._from_stream(pair)
            self._from_socket(pair)
        except OSError:
            pair.stream_ended = pair.socket_ended = True
            pair.to_socket = pair.to_stream = memoryview(b"")
        is_done = (pair.stream_ended and not pair.to_socket) or (
            pair.socket_ended and not pair.to_stream
        )
        if is_done:
            self._end(pair)
        else:
            self._watch(pair)

    def _from_stream(self, pair: _Pair) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                if pair.to_socket:
                    pair.to_socket = pair.to_socket[pair.socket.send(pair.to_socket) :]
                    continue
                if pair.stream_ended:
                    return
                data = pair.stream.receive(_READ_BYTES)
                pair.stream_ended = not data
                pair.to_socket = memoryview(data)

    def _from_socket(self, pair: _Pair) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                if pair.to_stream:
                    pair.to_stream = pair.to_stream[pair.stream.send([pair.to_stream]) :]
                    continue
                if pair.socket_ended:
                    return
                data = pair.socket.recv(_READ_BYTES)
                pair.socket_ended = not data
                pair.to_stream = memoryview(data)

    def _watch(self, pair: _Pair) -> None:
        def serve() -> None:
            self._serve(pair)

        wants_of_socket = not pair.to_stream and not pair.socket_ended, bool(pair.to_socket)
        self._select(pair.socket, *wants_of_socket, serve)
        if pair.has_descriptor:
            wants_of_stream = not pair.to_socket and not pair.stream_ended, bool(pair.to_stream)
            self._select(pair.stream, *wants_of_stream, serve)

    def _end(self, pair: _Pair) -> None:
        pair.is_over = True
        self._proved(pair)
        self._forget(pair.socket)
        pair.socket.close()
        self._give_up(pair.stream)

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


_forwarder: Forwarder | None = None
_lock = threading.Lock()


def forwarder() -> Forwarder:
    """Return the one of this process."""
    global _forwarder
    with _lock:
        if _forwarder is None:
            _forwarder = Forwarder()
        return _forwarder


def _forked() -> None:
    global _forwarder, _lock
    _forwarder = None  # its thread is the parent's
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)
