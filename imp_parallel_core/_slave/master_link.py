"""The supervisor's session with the master, over one stream or several in turn.

A MasterLink introduces the slave, sends heartbeats and listens for the master's, and dials again
when a resumable stream has gone. Meanwhile the supervisor looks after its runner, and its messages
wait in the session.
"""

from __future__ import annotations

import json
import selectors
import time
from collections.abc import Callable, Sequence

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING, Any
from .._wire import protocol, shared_memory
from .._wire.handshake import RUN_IS_OVER, UNREADABLE, hello_of, refusal_of
from .._wire.link import Link
from .._wire.protocol import Message
from .._wire.session import Session
from .._wire.stream import Stream
from .output import say, write

if TYPE_CHECKING:
    from .._wire.shared_memory import Segment

EXIT_OK, EXIT_NO_RUNNER, EXIT_REFUSED = 0, 1, 3

_NEVER = float("inf")
_HEARTBEAT_TIMEOUT_S = 30.0  # until the master's WELCOME says otherwise
_RECONNECT_TIMEOUT_S = 60.0  # likewise
_SHORT_S = 1.0  # after a stream that did not live longer, dial only after a pause, which grows …
_LONGEST_PAUSE_S = 5.0  # … up to this


class MasterLink:
    """The session with the master.

    Args:
        stream: the stream to the master.
        dial: makes another stream within so many seconds, or raises SystemExit.
        identity: the slave's part of its HELLO (see docs/protocol.md).
        selector: the selector of the supervisor's loop.
        welcomed: called once, when the master has welcomed the slave.
        received: called with each message.
        over: called with an exit code when the slave has to leave.
    """

    def __init__(
        self,
        stream: Stream,
        dial: Callable[[float], Stream],
        identity: dict[str, Any],
        selector: selectors.BaseSelector,
        *,
        welcomed: Callable[[], None],
        received: Callable[[Message], None],
        over: Callable[[int], None],
    ) -> None:
        self.is_welcome = False
        self._is_over = False
        self._identity = identity
        self._selector = selector
        self._welcomed = welcomed
        self._received = received
        self._over = over
        self._heartbeat_timeout_s = _HEARTBEAT_TIMEOUT_S
        self._reconnect_timeout_s = _RECONNECT_TIMEOUT_S
        self._ping_at = _NEVER
        self._greeted_at = _NEVER  # when this stream's HELLO was sent; no PING comes before that
        self._dialled_at = time.monotonic()
        self._pause_s = 0.0
        self._dial = dial
        self._link = self._new_link(stream, None)

    def _new_link(self, stream: Stream, session: Session | None) -> Link:
        # large segments are gathered in shared memory, since they are passed on to the runner
        session = session or Session(resumable=stream.resumable, shares=True)
        return Link(
            stream,
            self._selector,
            greeted=self._answered,
            received=lambda link, message: self._received(message),
            ended=lambda link, how: self._ended(how),
            session=session,
        )

    # ---- for the supervisor

    def introduce(self, cloudpickle: str) -> None:
        """Introduce the slave to the master: its runner is ready, and has this cloudpickle."""
        self._identity["cloudpickle"] = cloudpickle
        self._say_hello()

    def send(self, kind: int, head: bytes = b"", segments: Sequence[Segment] = ()) -> None:
        """Queue a message. It waits while there is no stream."""
        self._link.send(kind, head, segments)

    def flush(self) -> None:
        """Write as much as the stream takes without waiting."""
        self._link.flush()

    @property
    def has_sent_everything(self) -> bool:
        """Whether the stream has taken all messages."""
        return self._link.is_open and not self._link.session.has_unsent

    @property
    def deadline(self) -> float:
        """When to call :meth:`by_the_clock` (monotonic s; may be infinite)."""
        return min(self._ping_at, self._silent_at())

    def by_the_clock(self, now: float) -> None:
        """Send a heartbeat if one is due; dial again if the master's have not arrived."""
        if now >= self._silent_at():
            self._dial_again(f"not heard for {self._heartbeat_timeout_s:g} s")
        if now >= self._ping_at:
            self._ping_at = now + self._heartbeat_timeout_s / 3
            self._link.session.acknowledge()
            self._link.session.send_control(protocol.PING)

    def expect_end(self) -> None:
        """Take the end of the stream for no loss: the master has let the slave go."""
        self._is_over = True

    def finish(self) -> None:
        """Write as much as the stream takes, and never dial again. Call :meth:`close` next."""
        self._is_over = True
        self._link.flush()

    def close(self) -> None:
        """Close the stream."""
        self._link.close()

    def give_up(self, how: str) -> None:
        """Leave: the master has gone or has broken the protocol."""
        say(f"the master has gone ({how}); this slave leaves")
        self._link.close()
        self._over(EXIT_OK)

    # ---- the handshake

    def _say_hello(self) -> None:
        if "cloudpickle" in self._identity and self._link.is_open:
            session = self._link.session
            proof = shared_memory.proof() if self._link.can_pass_descriptors else []
            hello = hello_of(self._identity, session.received, passes_descriptors=bool(proof))
            session.send_control(protocol.HELLO, hello, proof)
            self._greeted_at = time.monotonic()

    def _answered(self, link: Link, kind: int, body: bytes) -> None:
        try:
            answer = json.loads(body)
            if kind == protocol.REFUSE and answer["reason"] == RUN_IS_OVER:
                self._over(EXIT_OK)  # nothing is wrong, so its output gets no word of that
            elif kind == protocol.REFUSE:
                self._refused(f"the master refused this slave: {answer['reason']}")
            else:
                self._take_welcome(link, answer)
        except (ProtocolError, *UNREADABLE) as problem:
            name = type(problem).__name__
            self._refused(f"the master's answer can't be read: {name}: {problem}")

    def _take_welcome(self, link: Link, answer: dict[str, Any]) -> None:
        session = self._identity["session"]
        reason = refusal_of(master=answer, slave=self._identity)
        if reason is None and session is not None and answer["session"] != session:
            reason = "the master began another session"
        if reason is not None:
            self._refused(reason)
            return
        heartbeat_timeout_s = float(answer["heartbeat_timeout_s"])
        reconnect_timeout_s = float(answer["reconnect_timeout_s"])
        link.session.resume(int(answer["received"]))
        link.session.passes_descriptors = answer["descriptors"] is True
        self._identity["session"] = answer["session"]
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._reconnect_timeout_s = reconnect_timeout_s
        self._ping_at = time.monotonic() + heartbeat_timeout_s / 3
        if self.is_welcome:
            say("connected again")
        else:
            self.is_welcome = True
            self._welcomed()

    def _refused(self, reason: str) -> None:
        say(reason)
        self._over(EXIT_REFUSED)

    # ---- the end of a stream, and another

    def _silent_at(self) -> float:
        """Return the time at which the master will have been silent for too long."""
        if self._greeted_at == _NEVER or not self._link.session.resumable:
            return _NEVER
        return max(self._greeted_at, self._link.heard_at) + self._heartbeat_timeout_s

    def _ended(self, how: str) -> None:
        if self._is_over:
            return
        if self._link.session.resumable:
            self._dial_again(how)
        elif not self.is_welcome and how.startswith("its connection"):
            self._link.close()
            self._over(EXIT_OK)  # the script has ended before it took this slave: nothing is wrong
        else:
            self.give_up(how)

    def _dial_again(self, how: str) -> None:
        say(f"lost the connection to the master ({how}); dialling again")
        self._link.close()
        self._link.session.lost_stream()
        self._ping_at = self._greeted_at = _NEVER
        if time.monotonic() - self._dialled_at < _SHORT_S:
            self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s + 0.1)
        else:
            self._pause_s = 0.0
        from .redial import Redial  # most slaves never need it

        redial = Redial(self._dial, self._selector, self._dialled, self._gone)
        redial.start(self._pause_s, self._reconnect_timeout_s)

    def _dialled(self, stream: Stream) -> None:
        self._dialled_at = time.monotonic()
        self._link = self._new_link(stream, self._link.session)
        self._say_hello()

    def _gone(self, end: SystemExit) -> None:
        """Leave: the transport can't reach the master, and has raised SystemExit."""
        if isinstance(end.code, str):
            write(end.code + "\n")
            self._over(1)
        else:
            self._over(end.code or EXIT_OK)
