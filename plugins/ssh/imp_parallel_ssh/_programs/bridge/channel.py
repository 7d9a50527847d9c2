"""What the bridge and the master say to each other, before the channel becomes the slave's stream.

Each message is its length in ten digits, and then so many bytes.
"""

from __future__ import annotations

import os
import sys

_CHUNK_BYTES = 1 << 18


class ChannelGone(Exception):
    """Standard input has ended."""


def receive() -> bytes:
    """Return the master's next message. Raises ChannelGone."""
    return _read(int(_read(10)))


def receive_words() -> list[str]:
    """Return the master's next message, which consists of words. Raises ChannelGone."""
    return [os.fsdecode(word) for word in receive().split(b"\0")]


def send_words(*words: str) -> None:
    """Send a message to the master. Raises OSError if the channel has gone."""
    body = b"\0".join(os.fsencode(word) for word in words)
    data = b"%10d" % len(body) + body
    while data:
        data = data[os.write(1, data) :]


def introduce() -> None:
    """Tell the master which Python this is, and which of its packages are here.

    Raises ChannelGone, and tells the master why, if the channel can't be used.
    """
    if os.path.sameopenfile(1, 2):
        # what a task writes could not be told from the stream
        send_words(
            "failed",
            "the login shell's start-up files join standard error to standard output (as exec 2>&1 "
            "does). Let them do so only in a shell that somebody types to",
        )
        raise ChannelGone
    core, cloudpickle = _find("imp_parallel_core"), _find("cloudpickle")
    send_words(
        "here",
        sys.executable,
        os.path.dirname(core),
        _version_in(core + "/_version.py"),
        _version_in(cloudpickle + "/__init__.py"),
        sys.implementation.cache_tag or "",
    )


def _read(count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = os.read(0, min(count - len(data), _CHUNK_BYTES))
        if not piece:
            raise ChannelGone
        data += piece
    return bytes(data)


def _find(name: str) -> str:
    """Return the folder that a package would be imported from; "" if there is no such source."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            origin = spec.origin or ""
            return os.path.dirname(origin) if os.path.isfile(origin) else ""
    return ""


def _version_in(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith("__version__ ="):
                    return line.partition("=")[2].strip(" \n\"'")
    except OSError:
        pass
    return ""
