"""The keeper of a relay: the command on the host by which the master speaks to the relay there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from imp_parallel_core import LaunchError

from .._channel_wait import StreamWait
from .._connection import Channel, Connection
from .commands import new_mark
from .scripts import BEGIN_PYTHON, COMMAND, PYTHONS, plain_script, told_apart

_START_S = 30.0
_GONE = "the relay has gone, with its program"
_BEGIN = f'test -e "$2" || {{ echo "{_GONE} $2" >&2; exit 127; }}; ' + BEGIN_PYTHON
_ANSWER_BYTES = 1 << 20  # with what start-up files say before
_WORDS_BYTES = 1 << 16
_QUOTED = 200


class RelayGoneError(LaunchError):
    """The relay has ended, and removed its files: it can't be reached any more."""


class Answer(NamedTuple):
    """What a keeper says first."""

    addresses: Sequence[str]
    """Where the relay listens; none from a keeper that came after SSH was lost."""
    socket: str
    """The path of the relay's Unix socket."""


def start_keeper(
    connection: Connection,
    words: Sequence[str],
    port: int,
    host: str,
    is_given_up: threading.Event,
) -> tuple[Channel, Answer]:
    """Start a keeper, and tell it where the master is reached; return its channel and its answer.

    Args:
        connection: to the host.
        words: the program and its arguments.
        port: of the host's loopback, which is forwarded to this process.
        host: what it is called in errors.
        is_given_up: nobody wants the keeper any more.

    Raises RelayGoneError if the relay's program is not there any more, LaunchError if there is no
    answer, or one that can't be understood, OSError if the connection is lost.
    """
    mark = new_mark()
    errors = bytearray()
    channel = connection.start(COMMAND, errors.extend)
    try:
        channel.stream.send([plain_script(_BEGIN, mark, PYTHONS, *words)])
        said = _first_line(channel, mark, errors, host, is_given_up)
        channel.stream.send([b"port %d\n" % port])
    except BaseException:
        channel.close()
        raise
    return channel, said


def _first_line(
    channel: Channel, mark: str, errors: bytearray, host: str, is_given_up: threading.Event
) -> Answer:
    wait = StreamWait(channel.stream)
    deadline = time.monotonic() + _START_S
    text, has_ended = b"", False
    while (
        not has_ended
        and not is_given_up.is_set()
        and time.monotonic() < deadline
        and len(text) + len(errors) < _ANSWER_BYTES
    ):
        try:
            data = channel.stream.receive(1 << 16)
            text, has_ended = text + data, not data
        except BlockingIOError:
            wait.wait(0.5)
        said = told_apart(text, b"", mark)
        line, end, _ = said.stdout.partition(b"\n")
        if said.pid is not None and end:
            return read_answer(line)
    told = told_apart(text, bytes(errors), mark)
    words = told.stderr.decode(errors="replace").strip()[-_WORDS_BYTES:]
    if told.pid is not None and _GONE in words:
        raise RelayGoneError(words)
    if is_given_up.is_set():
        silence = "it has been closed"
    elif has_ended:
        silence = "it ended without a word"
    elif len(text) + len(errors) >= _ANSWER_BYTES:
        silence = "it said far too much"
    else:
        silence = f"it said nothing within {_START_S:g} s"
    raise LaunchError(
        f"the relay on {host} can't be spoken to, by which slaves would reach this "
        f"machine: {words or silence}",
        output=words,
        exit_code=channel.exit_status(),
    )


def read_answer(line: bytes) -> Answer:
    """Return what a keeper says in its first line. Raises LaunchError if it can't be understood."""
    try:
        found = json.loads(line)
        addresses, path = found["addresses"], found["socket"]
    except (ValueError, TypeError, KeyError, RecursionError):
        addresses, path = None, None
    if (
        not isinstance(path, str)
        or not isinstance(addresses, list)
        or not all(isinstance(address, str) for address in addresses)
    ):
        raise LaunchError(f"the relay's answer can't be understood: {line[:_QUOTED]!r}")
    return Answer(addresses, path)
