"""Where streams are received: nobody knows yet whether their peers are the slaves they claim to be.

A transport lets in only who has the run's credentials; but that may be a second start of the same
slave, or one that was given up long ago. The HELLO tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._errors import ProtocolError
from .._wire import protocol
from .._wire.handshake import (
    PYTHON,
    Hello,
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
from .record import SlaveRecord
from .state import SlaveState

if TYPE_CHECKING:
    from .._loop import Loop
    from .._wire.stream import Stream

_NEWCOMERS = 4  # for one slave; a new one takes the place of the oldest


class Reception:
    """Reads the introductions of slaves; begins and resumes sessions.

    Args:
        loop: the engine's.
        restarted: called when another start of a slave takes its place; a session begins then.
        begun: called when a slave has begun a session; it has been welcomed.
        resumed: called when a slave has come back to its session, likewise.
        failed: called with a slave that can't begin a session, and why.
        broken: called when a slave's session can't go on, with its link and why.
        received: called with each message of a session.
        ended: called when the stream of a session has ended, with how.
    """

    def __init__(
        self,
        loop: Loop[Any],
        *,
        restarted: Callable[[SlaveRecord], None],
        begun: Callable[[SlaveRecord], None],
        resumed: Callable[[SlaveRecord], None],
        failed: Callable[[SlaveRecord, str], None],
        broken: Callable[[SlaveRecord, Link, str], None],
        received: Callable[[SlaveRecord, Link, Message], None],
        ended: Callable[[SlaveRecord, Link, str], None],
    ) -> None:
        self._loop = loop
        self._restarted = restarted
        self._begun = begun
        self._resumed = resumed
        self._failed = failed
        self._broken = broken
        self._received = received
        self._ended = ended

    def receive(self, record: SlaveRecord, stream: Stream) -> None:
        """Take a stream; its peer introduces itself over it."""
        is_taken = record.newcomers or record.link or record.state is SlaveState.GONE
        if is_taken and not stream.resumable:
            close_quietly(stream)  # too late, or another that claims to be this slave
            return
        link = Link(
            stream,
            self._loop.selector,
            greeted=lambda link, kind, body: self._greeted(record, link, kind, body),
            received=lambda link, message: self._received(record, link, message),
            ended=lambda link, how: self._link_ended(record, link, how),
            wake=self._loop.post,
            session=Session(resumable=stream.resumable, adopt=adopt, has_room=_has_room),
        )
        record.newcomers.append(link)
        if len(record.newcomers) > _NEWCOMERS:
            record.newcomers.pop(0).close()

    def _link_ended(self, record: SlaveRecord, link: Link, how: str) -> None:
        if link not in record.newcomers:
            self._ended(record, link, how)
            return
        record.newcomers.remove(link)
        if not link.session.resumable:
            self._failed(record, how)

    def _greeted(self, record: SlaveRecord, link: Link, kind: int, body: bytes) -> None:
        """Compare versions with a slave, before anything of it is unpickled; then let it in."""
        record.newcomers.remove(link)
        try:
            if kind != protocol.HELLO:
                raise ValueError("it did not begin with a HELLO")
            hello = read_hello(body)
        except ValueError as problem:
            link.close()
            if not record.host:
                self._failed(record, f"its introduction can't be read: {problem}")
            return
        import cloudpickle

        own = {"protocol": VERSION, "python": PYTHON, "cloudpickle": cloudpickle.__version__}
        misfit = refusal_of(master=own, slave=hello.versions)
        if hello.passes_descriptors and link.can_pass_descriptors:
            # what relays the bytes on the way drops descriptors
            link.session.passes_descriptors = link.session.claim_descriptor() is not None
        reason = misfit or self._join(record, link, hello)
        if reason is not None:
            link.session.send_control(protocol.REFUSE, refusal(reason))
            link.flush()
            link.close()
            if misfit is not None and not record.host:
                self._failed(record, misfit)

    def _join(self, record: SlaveRecord, link: Link, hello: Hello) -> str | None:
        """Begin or resume the slave's session; return why not, if it may not."""
        is_new = not record.host and record.state is not SlaveState.GONE
        is_restart = not is_new and _may_take_the_place(record, hello)
        if is_restart:
            self._restarted(record)
        if is_restart or (is_new and hello.session_token is None):
            record.host, record.pid = hello.host, hello.pid
            record.begin_session(link, new_session_token(), hello.boot)
            self._welcome(record, link)
            self._begun(record)
            return None
        if record.state is SlaveState.GONE:
            return f"{record.name} has been given up: {record.detail}"
        if is_new or not record.session_token:
            return f"the session of {record.name} is over"
        earlier = record.link
        if earlier is None or not _may_resume(record, earlier, hello):
            return f"{record.name} is there already, on {record.host}"
        record.link = link
        try:
            link.resume(earlier, hello.received)
        except ProtocolError as problem:
            self._broken(record, link, f"it broke the protocol: {problem}")
            return None
        self._welcome(record, link)
        self._resumed(record)
        return None

    def _welcome(self, record: SlaveRecord, link: Link) -> None:
        import cloudpickle

        greeting = welcome(
            cloudpickle.__version__,
            record.session_token,
            link.session.received,
            record.heartbeat_timeout_s,
            record.reconnect_timeout_s,
            passes_descriptors=link.session.passes_descriptors,
        )
        link.session.send_control(protocol.WELCOME, greeting)


def _may_take_the_place(record: SlaveRecord, hello: Hello) -> bool:
    """Whether a HELLO is of another start of a slave, which its batch system has restarted.

    The start before has gone then, or is not heard. What the core itself launches again comes as a
    new slave, and what is not needed has never joined.
    """
    if (
        hello.session_token is not None
        or hello.boot == record.boot
        or record.description.is_relaunchable
    ):
        return False
    if record.state is SlaveState.GONE:
        return record.has_joined
    return record.link is None or not record.link.is_open or record.is_suspected


def _may_resume(record: SlaveRecord, earlier: Link, hello: Hello) -> bool:
    """Whether a HELLO shows the token of the session; or is of one whose WELCOME never arrived."""
    if not earlier.session.resumable or hello.boot != record.boot:
        return False
    if hello.session_token is None:
        return earlier.session.received == 0
    return hello.session_token == record.session_token


def _has_room(size_bytes: int) -> bool:
    from .._wire.memory import has_room  # most runs receive nothing that is large

    return has_room(size_bytes)
