"""Slaves that do as a test says, right or wrong: each is a thread with the end of a socket pair."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any

import cloudpickle

from imp_parallel_core import (
    Accept,
    Bootstrap,
    Launch,
    LaunchPhase,
    LaunchState,
    Slave,
    SocketStream,
    Stream,
    hookimpl,
)
from imp_parallel_core._wire import heads, protocol
from imp_parallel_core._wire.handshake import hello_of, slave_identity
from imp_parallel_core._wire.protocol import Message
from imp_parallel_core._wire.session import Session

_BEAT_S = 0.1
RUNNING = LaunchState(LaunchPhase.RUNNING)


class Peer:
    """A slave's end of the stream, and the session over it."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.session = Session()
        self.pending: list[Message] = []

    def greet(self, body: bytes | None = None) -> None:
        """Introduce itself, and wait for the answer."""
        identity = {**slave_identity(0), "cloudpickle": cloudpickle.__version__}
        greeting = hello_of(identity, 0) if body is None else body
        self.session.send_control(protocol.HELLO, greeting)
        self.flush()
        while not self.session.take_handshake():
            self.read()

    def greet_with_descriptors(self) -> None:
        """Introduce itself as one that passes descriptors."""
        identity = {**slave_identity(0), "cloudpickle": cloudpickle.__version__}
        hello = hello_of(identity, 0, passes_descriptors=True)
        proof = os.memfd_create("proof")
        frame = protocol.encode_frame(protocol.HELLO, hello)
        socket.send_fds(self.socket, [frame], [proof])
        os.close(proof)
        while not self.session.take_handshake():
            self.read()

    def begin(self) -> int:
        """Say that a runner is ready, do the set-up, and return the number of the first item."""
        self.send(protocol.RUNNER_READY, heads.pack_runner_ready(heads.RunnerReadyHead(1)))
        setup = heads.unpack_setup(self.next(protocol.SETUP).head)
        self.end_item(setup.item, [pickle.dumps(())])
        return heads.unpack_tasks(self.next(protocol.TASKS).head).first_item

    def end_item(
        self,
        item: int,
        segments: Sequence[bytes],
        status: int = heads.VALUE,
        duration_s: float = 0.0,
    ) -> None:
        head = heads.OutcomeHead(item, status, duration_s)
        self.send(protocol.OUTCOME, heads.pack_outcome(head), segments)

    def next(self, kind: int | None) -> Message:
        """Return the next message of a kind, or of any; drop those before it."""
        while True:
            while self.pending:
                message = self.pending.pop(0)
                if kind in (None, message.kind):
                    return message
            self.read()

    def send(self, kind: int, head: bytes = b"", segments: Sequence[bytes] = ()) -> None:
        self.session.send(kind, head, segments)
        self.flush()

    def send_by_descriptor(self, kind: int, head: bytes, descriptor: int, size: int) -> None:
        """Send a message with one segment, which is a descriptor of whatever it is."""
        lengths = Struct("!Q").pack(size | protocol.BY_DESCRIPTOR)
        body = protocol.PREFIX.pack(kind, 1, len(head)) + lengths + head
        frame = protocol.encode_frame(protocol.WHOLE, body)
        socket.send_fds(self.socket, [frame], [descriptor])

    def flush(self) -> None:
        while self.session.has_unsent:
            self.session.wrote(self.socket.sendmsg(self.session.unsent()))

    def read(self) -> None:
        """Read once. Raises EOFError when the master has closed the stream."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self.pending += self.session.receive(data)

    def beat(self, until: int | None = 0, limit_s: float = float("inf")) -> Message | None:
        """Send heartbeats until a message of a kind has come (None for any), and return it.

        Drop those before it. Return None after so many seconds.
        """
        ends_at = time.monotonic() + limit_s
        beats_at = 0.0
        while (now := time.monotonic()) < ends_at:
            while self.pending:
                message = self.pending.pop(0)
                if until in (None, message.kind):
                    return message
            if now >= beats_at:
                self.session.send_control(protocol.PING)
                self.flush()
                beats_at = now + _BEAT_S
            if select.select([self.socket], [], [], _BEAT_S)[0]:
                self.read()
        return None

    def stay(self) -> None:
        """Do nothing until the master has closed the stream."""
        while True:
            self.read()


class Liar(Slave):
    """A slave that does what a function says.

    Args:
        behave: what it does; the end of the stream, whenever it comes, ends it.
        make_stream: makes the master's stream of its socket.
        poll: what its launch answers; by default that it runs.
    """

    is_relaunchable = False

    def __init__(
        self,
        behave: Callable[[Peer], None],
        make_stream: Callable[[socket.socket], Stream] = SocketStream,
        poll: Callable[[], Mapping[int, Any]] | None = None,
    ) -> None:
        self.behave = behave
        self.make_stream = make_stream
        self.poll = poll


class LiarLaunch:
    """The thread of one."""

    command: Sequence[str] = ()

    def __init__(self, slave: Liar, bootstrap: Bootstrap, accept: Accept) -> None:
        self._index = bootstrap.index
        self._ours, theirs = socket.socketpair()
        self.poll = slave.poll or (lambda: {bootstrap.index: RUNNING})
        self._thread = threading.Thread(target=self._run, args=(slave.behave,), daemon=True)
        self._thread.start()
        accept(bootstrap.index, slave.make_stream(theirs))

    def _run(self, behave: Callable[[Peer], None]) -> None:
        with contextlib.suppress(EOFError, OSError):
            behave(Peer(self._ours))

    def cancel(self, grace_s: float) -> None:
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._ours.close()

    def log_tail(self, index: int) -> str:
        return ""


@hookimpl
def imp_parallel_launch(
    slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
) -> Launch | None:
    return LiarLaunch(slaves, bootstraps[0], accept) if isinstance(slaves, Liar) else None
