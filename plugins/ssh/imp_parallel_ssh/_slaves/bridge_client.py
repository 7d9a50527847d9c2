"""The master's side of the talk with a bridge, before the channel becomes a slave's stream.

It waits for each answer, so it belongs in a thread that may wait. It reads not a byte more than it
needs: the bytes behind an answer are the slave's.
"""

from __future__ import annotations

import logging
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from imp_parallel_core import explained

from .._channel_wait import StreamWait
from .._connection import Channel
from .command_line import VERSION

_logger = logging.getLogger("imp_parallel.ssh")

_NOISE_BYTES = 1 << 20  # that login shells may say before the bridge does
_NOISE_KEPT_BYTES = 8192
_ANSWER_LIMIT_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 16
_SLOW_S = 5.0  # a login shell that takes longer is mentioned in the log
_QUOTED = 200  # characters of what a login shell said
_NOT_UNDERSTOOD = (
    "the bridge's answer can't be understood: something of the login shell's start-up files may "
    "still have been writing"
)
_START_UP_FILES = (
    "If something of the login shell's start-up files (.bashrc, .profile, .cshrc, config.fish) "
    "replaces the shell or reads its input, let it do so only in a shell that somebody types to"
)


class BridgeEnded(Exception):
    """The channel has ended before the bridge was there; what was said instead is in ``noise``."""

    def __init__(self, noise: bytes = b"") -> None:
        super().__init__("the connection to the host ended")
        self.noise = noise


class There(NamedTuple):
    """What the bridge says of the Python that it is run by."""

    python: str
    core_path: str
    """The folder that it has imp_parallel_core in; "" if it has not."""
    core_version: str
    cloudpickle_version: str
    cache_tag: str
    """``sys.implementation.cache_tag``: whose compiled code this Python runs."""


class WrongPython(Exception):
    """The Python there has another minor version."""


class BridgeClient:
    """A talk over one channel.

    Args:
        channel: where the bridge was started.
        deadline: until when the talk has to be over (monotonic s). Raises TimeoutError then.
    """

    def __init__(self, channel: Channel, deadline: float) -> None:
        self.channel = channel
        self._stream = channel.stream
        self._deadline = deadline
        self._waiter = StreamWait(self._stream)
        self._reminder: tuple[float, Callable[[], None]] | None = None

    # ---- what is said

    def introduce(self, mark: str, program: bytes, host: str = "the host") -> There:
        """Give the bridge its program, and return what it says of its host.

        What the login shell and a ``python=`` line say before is skipped. The program is not sent
        before Python has said that it is there: a shell that reads instead would run it. Raises
        BridgeEnded if it ends instead, TimeoutError, WrongPython.
        """
        self._skip_to(mark.encode(), host)
        version = self._read_number(3), self._read_number(3)
        if version != VERSION:
            text = (
                "the Python there is {}.{}, but the master runs Python {}.{}. Let python= name one "
                "of the same version".format(*version, *VERSION)
            )
            raise WrongPython(explained(text, "python-version"))
        self._write(program)
        order, *words = self.hear()
        if order != "here" or len(words) < len(There._fields):
            raise OSError(_NOT_UNDERSTOOD)
        return There(*words[: len(There._fields)])

    def hear(self) -> list[str]:
        """Return the bridge's next words.

        Raises OSError if these are that it has failed, or if something else wrote between them.
        """
        size = self._read_number(10)
        if size > _ANSWER_LIMIT_BYTES:
            raise OSError(_NOT_UNDERSTOOD)
        words = [os.fsdecode(word) for word in self._read(size).split(b"\0")]
        if words[0] == "failed":
            raise OSError(words[-1])
        return words

    def hear_one_of(self, *answers: str) -> list[str]:
        """Return the bridge's next words, the first of which must be one of these.

        Raises OSError as :meth:`hear` does, or if it is another.
        """
        words = self.hear()
        if words[0] not in answers:
            raise OSError(_NOT_UNDERSTOOD)
        return words

    def say(self, *words: str, more: Sequence[bytes] = ()) -> None:
        """Say words to the bridge, and then what belongs to them."""
        for body in (b"\0".join(map(os.fsencode, words)), *more):
            self._write(b"%10d" % len(body) + body)

    def wait_for_end(self) -> bool:
        """Read until the channel ends; return whether it did in time."""
        try:
            while self._receive(_CHUNK_BYTES):
                pass
        except TimeoutError:
            return False
        return True

    # ---- bytes

    def _skip_to(self, mark: bytes, host: str) -> None:
        skipped = bytearray()

        def warn() -> None:
            text = f"{host}: logged in, and Python has not begun yet; {_quoted(skipped)}."
            text = explained(f"{text} {_START_UP_FILES}", "start-up-files", once=True)
            _logger.warning("%s", text)

        self._reminder = (time.monotonic() + _SLOW_S, warn)
        try:
            while not skipped.endswith(mark):
                # so much must still come, whatever of the mark is there already
                sizes = range(len(mark), -1, -1)
                begun = next(size for size in sizes if skipped.endswith(mark[:size]))
                data = self._receive(len(mark) - begun)
                if not data or len(skipped) > _NOISE_BYTES:
                    raise BridgeEnded(bytes(skipped[-_NOISE_KEPT_BYTES:]))
                skipped += data
        except TimeoutError:
            text = f"Python has not begun in time after the login; {_quoted(skipped)}"
            text = explained(f"{text}. {_START_UP_FILES}", "start-up-files")
            raise TimeoutError(text) from None
        finally:
            self._reminder = None

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._receive(count - len(data))
            if not piece:
                raise BridgeEnded
            data += piece
        return data

    def _read_number(self, digits: int) -> int:
        said = self._read(digits).lstrip(b" ")
        if not said.isdigit():
            raise OSError(_NOT_UNDERSTOOD)
        return int(said)

    def _receive(self, limit: int) -> bytes:
        while True:
            try:
                return self._stream.receive(limit)
            except BlockingIOError:
                self._wait(select.POLLIN)
            except OSError:
                return b""  # broken, or closed here

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._stream.send([view]) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)
            except OSError:
                return  # reading will tell, and what was said before as well

    def _wait(self, events: int) -> None:
        now = time.monotonic()
        left_s = self._deadline - now
        if left_s <= 0:
            raise TimeoutError("the host did not answer in time")
        if self._reminder is not None:
            at, remind = self._reminder
            if now >= at:
                self._reminder = None
                remind()
            else:
                left_s = min(left_s, at - now)
        self._waiter.wait(left_s, events)


def _quoted(said: bytes | bytearray) -> str:
    """Return the end of what a login shell has said, for a message."""
    text = said.decode(errors="replace").strip()
    return f"the login shell said: {text[-_QUOTED:]!r}" if text else "the login shell said nothing"
