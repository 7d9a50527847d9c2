"""The handshake of master and slave: HELLO, WELCOME and REFUSE, and the comparison of versions."""

from __future__ import annotations

import json
import os
import socket
import sys

from .._light_typing import Any, NamedTuple
from .._printable import printable
from .._version import __version__
from .protocol import VERSION

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""The exceptions that reading a peer's JSON may raise, including the access to its values."""

PYTHON = [sys.version_info[0], sys.version_info[1]]

RUN_IS_OVER = "the run is over"
"""Why a REFUSE turns away a slave that has just started when the script ends."""

_COMPARED = {"protocol": "protocol", "python": "Python", "cloudpickle": "cloudpickle"}
_TEXT_LIMIT = 255  # characters of a peer's text that people are shown


def slave_identity(index: int) -> dict[str, Any]:
    """Return a slave's part of its HELLO. Its runner adds the version of cloudpickle."""
    return {
        "protocol": VERSION,
        "package": __version__,
        "python": PYTHON,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "index": index,
        "boot": os.urandom(8).hex(),
        "session": None,
    }


def hello_of(identity: dict[str, Any], received: int, *, passes_descriptors: bool = False) -> bytes:
    """Return the body of a HELLO."""
    of_stream = {"received": received, "descriptors": passes_descriptors}
    return json.dumps({**identity, **of_stream}).encode()


class Hello(NamedTuple):
    """The contents of a HELLO."""

    versions: dict[str, Any]
    host: str
    pid: int
    boot: str
    session_token: str | None
    received: int
    passes_descriptors: bool


def read_hello(body: bytes) -> Hello:
    """Return the contents of a HELLO. Raises ValueError if they can't be read."""
    try:
        said = json.loads(body)
        versions = {key: said.get(key) for key in _COMPARED}
        if len(repr(versions)) > _TEXT_LIMIT:
            raise ValueError("its versions are too long to be any")
        token = said.get("session")
        return Hello(
            versions,
            printable(str(said["host"])[:_TEXT_LIMIT]),
            int(said["pid"]),
            str(said.get("boot")),
            None if token is None else str(token),
            int(said.get("received", 0)),
            said.get("descriptors") is True,
        )
    except UNREADABLE as problem:
        raise ValueError(f"{type(problem).__name__}: {problem}") from problem


def new_session_token() -> str:
    """Return a token that nobody can guess. A slave shows it to resume its session."""
    return os.urandom(16).hex()


def welcome(
    cloudpickle: str,
    session_token: str,
    received: int,
    heartbeat_timeout_s: float,
    reconnect_timeout_s: float,
    *,
    passes_descriptors: bool,
) -> bytes:
    """Return the body of a WELCOME."""
    return json.dumps(
        {
            "protocol": VERSION,
            "package": __version__,
            "python": PYTHON,
            "cloudpickle": cloudpickle,
            "session": session_token,
            "received": received,
            "heartbeat_timeout_s": heartbeat_timeout_s,
            "reconnect_timeout_s": reconnect_timeout_s,
            "descriptors": passes_descriptors,
        }
    ).encode()


def refusal(reason: str) -> bytes:
    """Return the body of a REFUSE."""
    return json.dumps({"reason": reason}).encode()


def refusal_of(master: dict[str, Any], slave: dict[str, Any]) -> str | None:
    """Return why master and slave don't fit together; None if they do.

    Both ends call this before either unpickles anything: pickles of another minor version of Python
    or of another cloudpickle would fail much later, and in stranger ways.
    """
    differences = [
        f"{name} {_version(master.get(key))} on the master, {_version(slave.get(key))} on the slave"
        for key, name in _COMPARED.items()
        if master.get(key) != slave.get(key)
    ]
    if not differences:
        return None
    return (
        f"master and slave don't fit together: {'; '.join(differences)}. "
        "Run both with the same versions (the slave's Python is the one that python= names)."
    )


def _version(value: Any) -> str:
    return ".".join(map(str, value)) if isinstance(value, list) else str(value)
