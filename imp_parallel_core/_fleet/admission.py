"""Streams whose peers claim to be slaves: listened to, welcomed, refused, closed.

A transport lets in only who has the run's credentials; but that may be a second start of the same
slave, or one that was given up long ago. The HELLO tells, and the slave's life decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from .._errors import ProtocolError
from .._explained import explained
from .._wire import protocol
from .._wire.handshake import (
    PYTHON,
    new_session_token,
    read_hello,
    refusal,
    refusal_of,
    welcome,
)
from .._wire.link import Link, close_quietly
from .._wire.protocol import VERSION, Message
from .._wire.session import Session
from .._wire.shared_memory import adopt
from .actions import LifeAction
from .record import SlaveRecord
from .session_state import Greeting

if TYPE_CHECKING:
    from .._loop import Loop
    from .._wire.stream import Stream


class Admission:
    """Brings what happens to streams into the lives of slaves.

    Args:
        loop: the engine's.
        items_of: returns how many items of the scheduler's a slave holds.
        perform: performs what a life decides.
        received: called with each message of a session.
    """

    def __init__(
        self,
        loop: Loop[Any],
        items_of: Callable[[int], int],
        perform: Callable[[SlaveRecord, list[LifeAction]], None],
        received: Callable[[SlaveRecord, Link, Message], None],
    ) -> None:
        self._loop = loop
        self._items_of = items_of
        self._perform = perform
        self._received = received
        self._numbers = count(1)

    # ---- what happens

    def stream_made(self, record: SlaveRecord, stream: Stream, launch: int | None = None) -> None:
        """A stream is there whose peer claims to be a slave; perhaps a launch has made it."""
        number, now = next(self._numbers), time.monotonic()
        record.offered[number] = stream
        try:
            resumable = bool(stream.resumable)
        except Exception as problem:  # a plugin's
            self._perform(record, record.life.stream_unusable(number, _named(problem), now))
            return
        life = record.life
        self._perform(record, life.stream_made(number, resumable=resumable, launch=launch, now=now))

    def _ended(self, record: SlaveRecord, number: int, how: str) -> None:
        record.newcomers.pop(number, None)
        now, holds_items = time.monotonic(), self._items_of(record.index) > 0
        actions = record.life.stream_ended(number, how, holds_items=holds_items, now=now)
        self._perform(record, actions)

    def _greeted(
        self, record: SlaveRecord, number: int, link: Link, kind: int, body: bytes
    ) -> None:
        """Compare versions with a slave, before anything of it is unpickled."""
        now, life = time.monotonic(), record.life
        try:
            if kind != protocol.HELLO:
                raise ValueError("it did not begin with a HELLO")
            hello = read_hello(body)
        except ValueError as problem:
            why = f"its introduction can't be read: {problem}"
            self._perform(record, life.not_introduced(number, why, None, now))
            return
        import cloudpickle

        own = {"protocol": VERSION, "python": PYTHON, "cloudpickle": cloudpickle.__version__}
        misfit = refusal_of(master=own, slave=hello.versions)
        if misfit is not None:
            why = explained(misfit, "versions-differ")
            self._perform(record, life.not_introduced(number, why, misfit, now))
            return
        if hello.passes_descriptors and link.can_pass_descriptors:
            # what relays the bytes on the way drops descriptors
            link.session.passes_descriptors = link.session.claim_descriptor() is not None
        greeting = Greeting(hello.host, hello.pid, hello.boot, hello.session_token, hello.received)
        is_fresh = record.link is not None and record.link.session.received == 0
        actions = life.greeted(number, greeting, new_session_token(), is_fresh=is_fresh, now=now)
        self._perform(record, actions)

    # ---- what a life decides

    def listen(self, record: SlaveRecord, number: int) -> None:
        """Read what comes over a stream."""
        stream = record.offered.pop(number)
        try:
            record.newcomers[number] = self._link_over(record, number, stream)
        except Exception as problem:  # a plugin's stream
            record.offered[number] = stream
            now = time.monotonic()
            self._perform(record, record.life.stream_unusable(number, _named(problem), now))

    def _link_over(self, record: SlaveRecord, number: int, stream: Stream) -> Link:
        received = self._received
        return Link(
            stream,
            self._loop.selector,
            greeted=lambda link, kind, body: self._greeted(record, number, link, kind, body),
            received=lambda link, message: received(record, link, message),
            ended=lambda link, how: self._ended(record, number, how),
            wake=self._loop.post,
            session=Session(resumable=stream.resumable, adopt=adopt, has_room=_has_room),
        )

    def close(self, record: SlaveRecord, number: int) -> None:
        """Close a stream."""
        if number in record.newcomers:
            record.newcomers.pop(number).close()
        elif number in record.offered:
            close_quietly(record.offered.pop(number))

    def refuse(self, record: SlaveRecord, number: int, why: str) -> None:
        """Tell a peer why it is not let in, and close its stream."""
        link = record.newcomers.pop(number)
        link.session.send_control(protocol.REFUSE, refusal(why))
        link.flush()
        link.close()

    def turn_away(self, record: SlaveRecord, why: str) -> None:
        """Tell all peers that are not let in yet why they never will be; they would dial again."""
        for number in list(record.newcomers):
            self.refuse(record, number, why)

    def welcome(self, record: SlaveRecord, number: int) -> None:
        """Begin a session."""
        record.link = link = record.newcomers.pop(number)
        self._send_welcome(record, link)

    def resume(self, record: SlaveRecord, number: int, received: int) -> None:
        """Go on with a session over another stream."""
        earlier, now = record.link, time.monotonic()
        record.link = link = record.newcomers.pop(number)
        try:
            if earlier is not None:
                link.resume(earlier, received)
        except ProtocolError as problem:
            how = f"it broke the protocol: {problem}"
            self._perform(record, record.life.broken(number, how, now))
            return
        self._send_welcome(record, link)
        self._perform(record, record.life.resumed(number, now))

    def _send_welcome(self, record: SlaveRecord, link: Link) -> None:
        import cloudpickle

        session = record.life.session
        greeting = welcome(
            cloudpickle.__version__,
            "" if session is None else session.token,
            link.session.received,
            record.life.timeouts.heartbeat_s,
            record.life.timeouts.reconnect_s,
            passes_descriptors=link.session.passes_descriptors,
        )
        link.session.send_control(protocol.WELCOME, greeting)


def _named(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"


def _has_room(size_bytes: int) -> bool:
    from .._wire.memory import has_room  # most runs receive nothing that is large

    return has_room(size_bytes)
