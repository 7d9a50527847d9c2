"""Joins channels of SSH connections to sockets of this machine, in one thread for all of them."""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

from ._paramiko_stream import ParamikoStream

_READ_BYTES = 1 << 18


class _Joint:
    """A channel and a socket that are joined."""

    def __init__(self, stream: ParamikoStream, connected: socket.socket) -> None:
        self.stream = stream
        self.socket = connected
        self.to_socket: memoryview = memoryview(b"")
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
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="imp_parallel ssh relay", daemon=True).start()

    def join(self, stream: ParamikoStream, connect: Callable[[], socket.socket]) -> None:
        """Join a channel to a socket; may be called from any thread.

        Args:
            stream: the channel's.
            connect: makes the socket, in the splicer's thread; raises OSError if it can't.
        """
        self._post(lambda: self._begin(stream, connect))

    def _post(self, function: Callable[[], None]) -> None:
        self._posted.put(function)
        with contextlib.suppress(OSError):
            self._wake_up.send(b"\0")

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._serve(key.data)
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(4096)
            while not self._posted.empty():
                self._posted.get()()

    def _begin(self, stream: ParamikoStream, connect: Callable[[], socket.socket]) -> None:
        try:
            connected = connect()
        except OSError:
            stream.give_up()
            return
        connected.setblocking(False)
        joint = _Joint(stream, connected)
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
        wanted = 0
        if not joint.to_stream and not joint.socket_ended:
            wanted |= selectors.EVENT_READ
        if joint.to_socket:
            wanted |= selectors.EVENT_WRITE
        known: Any = self._selector.get_map().get(joint.socket)
        if known is None and wanted:
            self._selector.register(joint.socket, wanted, joint)
        elif known is not None and not wanted:
            self._selector.unregister(joint.socket)
        elif known is not None and known.events != wanted:
            self._selector.modify(joint.socket, wanted, joint)

    def _end(self, joint: _Joint) -> None:
        joint.is_over = True
        if self._selector.get_map().get(joint.socket) is not None:
            self._selector.unregister(joint.socket)
        joint.socket.close()
        joint.stream.give_up()


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
