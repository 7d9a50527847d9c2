"""A transport that listens, and slaves' sides that dial it from this process."""

from __future__ import annotations

import base64
import queue
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from .._plugins.transport import Transport
from .._wire.stream import Stream
from ._talk import Talk

MakeTransport = Callable[[], Transport]
"""A function without arguments that returns a new transport, as the hook does."""

Connect = Callable[[str], socket.socket]
"""A function that connects to an address of a transport, as a stranger can."""

_LOOPBACK = "localhost"
_ACCEPTED_S = 30.0
_DIALS_S = 30.0
_CONNECT_S = 10.0


class Listening:
    """A transport that listens on this machine, until the end of the ``with`` statement.

    Args:
        make_transport: makes it.
        talks: is given each connection.

    Attributes:
        transport: the transport.
        addresses: where slaves reach it.
        accepted: what it has handed over: pairs of a slave's number and a stream.
    """

    def __init__(self, make_transport: MakeTransport, talks: list[Talk]) -> None:
        self.transport = make_transport()
        self.accepted: queue.SimpleQueue[tuple[int, Stream]] = queue.SimpleQueue()
        self.addresses = list(
            self.transport.listen(_LOOPBACK, None, lambda *pair: self.accepted.put(pair))
        )
        self._talks = talks

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(Exception):  # a check of its own finds that
            self.transport.close()
        for talk in self._talks:
            talk.close()
        while not self.accepted.empty():
            self.accepted.get()[1].close()

    def document(self, index: int, secret: bytes | None = None) -> dict[str, Any]:
        """Return what the slave's side reads of its bootstrap document."""
        if secret is None:
            secret = self.transport.secret(index)
        return {
            "index": index,
            "dial": self.transport.dial,
            "addresses": list(self.addresses),
            "secret": base64.b64encode(secret).decode(),
        }

    def talk(self, document: dict[str, Any]) -> Talk:
        """Have a slave's side dial; return the connection, as the master sees it."""
        try:
            theirs = dial(document)
        except SystemExit as problem:
            raise AssertionError(
                f"dial() ended the process of slave {document['index']}, whose secret is right: "
                f"{problem.code!r}"
            ) from problem
        try:
            index, ours = self.accepted.get(timeout=_ACCEPTED_S)
        except queue.Empty:
            theirs.close()
            raise AssertionError(
                f"slave {document['index']} has dialled, and accept() was not called within "
                f"{_ACCEPTED_S:g} s"
            ) from None
        talk = Talk(ours, theirs)
        self._talks.append(talk)
        assert index == document["index"], (
            f"accept() was called with {index} when slave {document['index']} had dialled"
        )
        return talk


def dial(document: dict[str, Any], patience_s: float | None = None) -> Stream:
    """Call the function of a slave's side that a document names."""
    module, _, function = document["dial"].partition(":")
    patience_s = _DIALS_S if patience_s is None else patience_s
    stream: Stream = getattr(import_module(module), function)(document, patience_s)
    return stream


def connect(address: str) -> socket.socket:
    """Connect to ``host:port``, or to the path of a Unix socket."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        return socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S)
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(_CONNECT_S)
    try:
        connected.connect(address)
    except BaseException:
        connected.close()
        raise
    return connected
