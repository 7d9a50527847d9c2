"""Who does not belong to the run gets no further, and keeps no slave out."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from .._wire.stream import Stream
from ._listening import Listening, dial
from ._talk import End, Way, wait_for_end
from ._transported import Transported

_ENDED_S = 30.0
_PATIENCE_S = 1.0
_NONSENSE = (
    b"",
    b"\0",
    b"GET / HTTP/1.1\r\nHost: master\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20),  # how TLS begins
    b"\xff" * 100_000,
)


def strangers_who_talk_nonsense_get_no_further(transported: Transported) -> None:
    """Whatever a stranger says, accept() is not called; slaves get in meanwhile."""
    with transported.listening() as listening, ExitStack() as stack:
        for said in (*_NONSENSE, os.urandom(1000)):
            for address in listening.addresses:
                stranger = stack.enter_context(transported.connect(address))
                with suppress(OSError):  # it may be closed already
                    stranger.sendall(said)
        _require_that_a_slave_gets_in(listening)
        _require_nobody(listening, "a stranger who talked nonsense")


def strangers_who_stop_in_the_middle_get_no_further(transported: Transported) -> None:
    """A stranger who shuts the connection after some bytes is let go; slaves get in meanwhile."""
    with transported.listening() as listening, ExitStack() as stack:
        strangers = []
        for said in _NONSENSE[:-1]:
            stranger = stack.enter_context(transported.connect(listening.addresses[0]))
            with suppress(OSError):
                stranger.sendall(said)
                stranger.shutdown(socket.SHUT_WR)
            strangers.append(stranger)
        _require_that_a_slave_gets_in(listening)
        for said, stranger in zip(_NONSENSE, strangers, strict=False):
            assert _is_let_go(stranger), (
                f"a stranger who said {said[:40]!r}, and no more, is kept connected"
            )
        _require_nobody(listening, "a stranger who stopped in the middle")


def a_wrong_secret_opens_nothing(transported: Transported) -> None:
    """Who has another run's secret, or half of one, or a made-up one, is not handed over."""
    with transported.listening() as other, transported.listening() as listening:
        right = listening.transport.secret(0)
        wrong = {
            "another run's secret": other.transport.secret(0),
            "half of the secret": right[: len(right) // 2],
            "a secret with other bytes at its end": right[:-8] + os.urandom(8),
            "a made-up secret": os.urandom(len(right)),
            "no secret": b"",
        }
        with _dialling(listening, wrong.values()) as dials:
            for what, attempt in zip(wrong, dials, strict=True):
                attempt.join(_ENDED_S)
                assert not attempt.is_alive(), (
                    f"dial() with {what} has not given up after {_ENDED_S:g} s"
                )
            _require_nobody(listening, "who has " + ", ".join(wrong))
            for what, attempt in zip(wrong, dials, strict=True):
                if attempt.stream is not None:
                    wait_for_end(End(attempt.stream, f"the stream of a peer with {what}"))


def close_ends_listening_and_may_be_called_twice(transported: Transported) -> None:
    """After close(), nobody gets in; a second close() does no harm."""
    with transported.listening() as listening:
        addresses = list(listening.addresses)
        listening.transport.close()
        try:
            listening.transport.close()
        except Exception as problem:
            raise AssertionError(f"close() raised {problem!r} when called again") from problem
        for address in addresses:
            try:
                stranger = transported.connect(address)
            except OSError:
                continue
            with stranger:
                assert _is_let_go(stranger), f"after close(), somebody still listens at {address}"


def _require_that_a_slave_gets_in(listening: Listening) -> None:
    try:
        talk = listening.talk(listening.document(5))
    except AssertionError as problem:
        raise AssertionError(f"strangers had connected; then {problem}") from problem
    talk.transfer(Way(talk.other, talk.one, b"let in"), Way(talk.one, talk.other, b"welcome"))


def _require_nobody(listening: Listening, who: str) -> None:
    if not listening.accepted.empty():
        index, stream = listening.accepted.get()
        stream.close()
        raise AssertionError(f"accept() was called, with {index}, for {who}")


def _is_let_go(stranger: socket.socket) -> bool:
    """Whether a connection is ended by the other side."""
    stranger.settimeout(_ENDED_S)
    try:
        while stranger.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


class _Dial(threading.Thread):
    """Dials with a document, and notes the stream that comes of it, if any."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.stream: Stream | None = None
        self._document = document
        self.start()

    def run(self) -> None:
        with suppress(Exception, SystemExit):  # it fails as it likes
            self.stream = dial(self._document, _PATIENCE_S)


@contextmanager
def _dialling(listening: Listening, secrets: Iterable[bytes]) -> Iterator[list[_Dial]]:
    """Dial with each secret at once; close what comes of it in the end."""
    dials = [_Dial(listening.document(0, secret)) for secret in secrets]
    try:
        yield dials
    finally:
        for each in dials:
            if each.stream is not None:
                each.stream.close()
