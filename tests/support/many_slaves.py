"""Thousands of slaves in one process: a peer that speaks the protocol over TLS, and its launcher.

These slaves run nothing: the outcome of each item is None, at once. They show what connections
cost the master.
"""

from __future__ import annotations

import base64
import json
import pickle
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import cloudpickle
from imp_parallel_tcp._tls import PROOF, TOKEN_BYTES, SlaveCredentials
from imp_parallel_tcp._tls_stream import TlsStream, prepare

from imp_parallel_core import (
    Bootstrap,
    Launch,
    LaunchPhase,
    LaunchState,
    Slave,
    SlaveArray,
    hookimpl,
)
from imp_parallel_core._wire import heads, protocol
from imp_parallel_core._wire.handshake import hello_of, slave_identity
from imp_parallel_core._wire.link import Link
from imp_parallel_core._wire.protocol import Message
from imp_parallel_core._wire.value_records import VALUE_RECORD

_AT_ONCE = 32  # handshakes under way
_PING_S = 10.0  # a third of heartbeat_timeout
_NONE = pickle.dumps(None, 5)


class ManySlaves(SlaveArray):
    """So many slaves that run nothing, in one process."""

    transport = "tcp"


class ManyLaunch:
    """The process of such slaves."""

    command: Sequence[str] = (sys.executable, __file__)

    def __init__(self, bootstraps: Sequence[Bootstrap]) -> None:
        self._indices = [bootstrap.index for bootstrap in bootstraps]
        self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE)
        about = {
            "secrets": {b.index: base64.b64encode(b.secret).decode() for b in bootstraps},
            "address": bootstraps[0].addresses[0],
        }
        stdin = self._process.stdin
        assert stdin is not None
        with stdin:
            stdin.write(json.dumps(about).encode())

    def poll(self) -> Mapping[int, LaunchState]:
        code = self._process.poll()
        phase = LaunchPhase.RUNNING if code is None else LaunchPhase.ENDED
        return dict.fromkeys(self._indices, LaunchState(phase, exit_code=code))

    def cancel(self, grace_s: float) -> None:
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def log_tail(self, index: int) -> str:
        return ""


@hookimpl
def imp_parallel_launch(slaves: Slave, bootstraps: Sequence[Bootstrap]) -> Launch | None:
    return ManyLaunch(bootstraps) if isinstance(slaves, ManySlaves) else None


class Peer:
    """All slaves of a launch."""

    def __init__(self, secrets: dict[int, bytes], address: str) -> None:
        self._secrets = secrets
        self._waiting = list(secrets)[::-1]
        self._address = address.rpartition(":")
        # one context serves all: their master is the same
        self._context = SlaveCredentials(next(iter(secrets.values())), 0).context
        self._selector = selectors.DefaultSelector()
        self._securing = 0
        self._links: set[Link] = set()

    def run(self) -> None:
        """Be the slaves until the master sends them away."""
        ping_at = time.monotonic() + _PING_S
        while self._waiting or self._securing or self._links:
            while self._waiting and self._securing < _AT_ONCE:
                self._connect(self._waiting.pop())
            for key, events in self._selector.select(max(0.0, ping_at - time.monotonic())):
                key.data(events)
            if time.monotonic() >= ping_at:
                ping_at += _PING_S
                for link in self._links:
                    link.session.acknowledge()
                    link.session.send_control(protocol.PING)
                    link.flush()

    def _connect(self, index: int) -> None:
        connected = socket.create_connection((self._address[0], int(self._address[2])))
        prepare(connected)
        connected.setblocking(False)
        secured = self._context.wrap_socket(connected, do_handshake_on_connect=False)
        self._securing += 1

        def advance(events: int) -> None:
            try:
                secured.do_handshake()
            except BlockingIOError:
                return
            except OSError as problem:
                if "did not complete" in str(problem):
                    return
                raise
            self._selector.unregister(secured)
            self._securing -= 1
            secured.send(PROOF.pack(index, self._secrets[index][:TOKEN_BYTES]))
            self._introduce(index, TlsStream(secured))

        self._selector.register(secured, selectors.EVENT_READ, advance)
        advance(0)

    def _introduce(self, index: int, stream: TlsStream) -> None:
        link = Link(
            stream,
            self._selector,
            greeted=self._greeted,
            received=self._received,
            ended=lambda link, how: self._links.discard(link),
        )
        self._links.add(link)
        identity = {**slave_identity(index), "cloudpickle": cloudpickle.__version__}
        link.session.send_control(protocol.HELLO, hello_of(identity, 0))
        link.flush()

    def _greeted(self, link: Link, kind: int, body: bytes) -> None:
        if kind != protocol.WELCOME:
            sys.exit(f"refused: {body!r}")
        link.session.resume(json.loads(body)["received"])
        head = heads.pack_runner_ready(heads.RunnerReadyHead(1))
        link.send(protocol.RUNNER_READY, head)
        link.flush()

    def _received(self, link: Link, message: Message) -> None:
        kind, head, _ = message
        if kind == protocol.TASKS:
            pack = VALUE_RECORD.pack
            items = heads.unpack_tasks(head).items
            records = [pack(item, 1e-5, 0, len(_NONE)) + _NONE for item in items]
            link.send(protocol.VALUES, b"", [b"".join(records)])
        elif kind == protocol.SETUP:
            item = heads.unpack_setup(head).item
            outcome = heads.OutcomeHead(item, heads.VALUE, 1e-5)
            link.send(protocol.OUTCOME, heads.pack_outcome(outcome), [_NONE])
        elif kind == protocol.TAKE_BACK:
            link.send(protocol.TAKEN_BACK, heads.pack_items([]))
        elif kind == protocol.LEAVE:
            self._links.discard(link)
            link.close()
            return
        link.flush()


def main() -> None:
    """Read which slaves to be, and be them."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    about = json.load(sys.stdin)
    secrets = {int(index): base64.b64decode(text) for index, text in about["secrets"].items()}
    Peer(secrets, about["address"]).run()


if __name__ == "__main__":
    main()
