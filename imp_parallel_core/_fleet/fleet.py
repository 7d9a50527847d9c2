"""The slaves of a Manager. Their lives decide (:mod:`.life`); the fleet performs what they decide.

What happens comes from three sides, and each goes a straight way:

- a launch's report: the launch's thread → :mod:`.launches` → the slave's life;
- a stream, and what its peer says first: :mod:`.admission` → the slave's life;
- a message: :mod:`.inbound` → the scheduler if it is of tasks, otherwise → the slave's life.

Runs in the engine's thread only; launches post their reports to it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._explained import explained
from .._plugins.registry import Plugins
from .._scheduler.actions import Action
from .._wire import protocol
from .._wire.handshake import RUN_IS_OVER
from .._wire.link import Link, close_quietly
from .actions import (
    Ask,
    Changed,
    Close,
    EndSession,
    ForgetRunner,
    Inform,
    LaunchAgain,
    LetGo,
    LifeAction,
    Listen,
    LookAfter,
    LookAt,
    Lost,
    Ping,
    Refuse,
    Release,
    Resume,
    Tell,
    TellLaunch,
    Warn,
    Welcome,
)
from .admission import Admission
from .inbound import Inbound
from .launches import Launches
from .record import SlaveRecord
from .session_state import StreamSigns
from .state import SlaveState

if TYPE_CHECKING:
    from .._errors import NoMoreSlavesError
    from .._launch.watch import LaunchWatch
    from .._loop import Loop
    from .._scheduler.scheduler import Scheduler
    from .._wire.shared_memory import Segment
    from .._wire.stream import Stream
    from .losses import LossLog

_logger = logging.getLogger("imp_parallel.slaves")


class Fleet:
    """All slaves of a Manager.

    Args:
        scheduler: is told about slaves, and what they say about tasks.
        decide: performs the scheduler's actions.
        plugins: those of the Manager, which launch slaves.
        loop: the engine's.
        changed: called with the record of a slave whose state has changed.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        decide: Callable[[list[Action]], None],
        plugins: Plugins,
        loop: Loop[Any],
        changed: Callable[[SlaveRecord], None],
    ) -> None:
        self.records: dict[int, SlaveRecord] = {}
        self._scheduler = scheduler
        self._decide = decide
        self._loop = loop
        self._changed = changed
        self._inbound = Inbound(scheduler, decide, self._perform)
        self._admission = Admission(
            loop, scheduler.items_of, self._perform, received=self._inbound.take
        )
        self._launches = Launches(plugins, loop, self._perform, self.stream_made)
        self._losses: LossLog | None = None  # most runs lose no slave
        self._unflushed: dict[int, Link] = {}
        self._is_closed = False

    # ---- what the user wants

    def launch(self, records: Sequence[SlaveRecord]) -> None:
        """Launch slaves that are described by one description."""
        for record in records:
            self.records[record.index] = record
            is_relaunchable = record.life.is_relaunchable
            self._decide(self._scheduler.slave_added(record.index, is_relaunchable))
            self._changed(record)
        self._launches.begin(records)

    def stream_made(self, index: int, stream: Stream, launch: int | None = None) -> None:
        """A transport has let in a peer that claims to be a slave, or a launch has made it."""
        record = self.records.get(index)
        if record is None or self._is_closed:
            close_quietly(stream)
        else:
            self._admission.stream_made(record, stream, launch)

    def withdrawable(self) -> list[SlaveRecord]:
        """Return the slaves that wait in a queue and can be withdrawn from it, in order."""
        return [
            record
            for record in self.records.values()
            if record.life.state is SlaveState.QUEUED and record.watch and record.watch.can_withdraw
        ]

    def withdraw(self, records: Sequence[SlaveRecord]) -> None:
        """Give up slaves that wait in a queue, and are not needed."""
        by_watch: dict[LaunchWatch, list[int]] = {}
        for record in records:
            self._perform(record, record.life.withdraw(time.monotonic()))
            if record.watch is not None:
                by_watch.setdefault(record.watch, []).append(record.index)
        for watch, indices in by_watch.items():
            watch.withdraw(indices)
        _logger.info("%d slaves that waited in a queue are not needed any more", len(records))

    def close(self, grace_s: float) -> None:
        """Tell all slaves to leave, also those that just connect; end their launches."""
        for record in self.records.values():
            if record.link is not None:
                record.link.send(protocol.LEAVE)
                record.link.flush()
            self._admission.turn_away(record, RUN_IS_OVER)
        if self._losses is not None:
            self._losses.tell_all()
        self._is_closed = True
        self._launches.cancel(grace_s)

    def hopeless_error(self) -> NoMoreSlavesError:
        """Return the error for whoever waits now, when no slave runs or will come."""
        from .losses import hopeless  # most runs keep a slave

        return hopeless(self.records.values())

    def error_given(self) -> None:
        """Take note that somebody has been given that error: the log need not say the same."""
        if self._losses is not None:
            self._losses.error_given(self.records.values())

    def join(self, deadline: float) -> list[str]:
        """Wait for the launches' threads; return those that are still busy."""
        return self._launches.join(deadline)

    def abandon(self) -> None:
        """Close this process's ends of all streams and nothing else."""
        for record in self.records.values():
            for link in (record.link, *record.newcomers.values()):
                if link is not None:
                    link.abandon()

    # ---- what the scheduler decides

    def send(
        self, index: int, kind: int, head: bytes = b"", segments: Sequence[Segment] = ()
    ) -> None:
        """Queue a message for a slave, if it is connected."""
        link = self.records[index].link
        if link is not None:
            link.send(kind, head, segments)
            self._unflushed[index] = link

    def flush(self) -> None:
        """Write what has been queued, as far as it is taken without waiting."""
        unflushed, self._unflushed = self._unflushed, {}
        for link in unflushed.values():
            link.flush()

    def relaunch(self, index: int) -> None:
        """Launch a slave again that was lost."""
        record = self.records[index]
        self._perform(record, record.life.launch_again(time.monotonic()))

    def set_aside(self, index: int, deaths: int) -> None:
        """A slave gets no tasks for a while: so many have died on it, one after the other."""
        record = self.records[index]
        self._perform(record, record.life.set_aside(deaths, time.monotonic()))

    def take_up(self, index: int) -> None:
        """A slave that was set aside is tried again."""
        record = self.records[index]
        self._perform(record, record.life.take_up(time.monotonic()))

    def give_up(self, index: int, why: str, *, is_charged: bool) -> None:
        """Lose a slave that is heard, and that the scheduler has no use for."""
        record, now = self.records[index], time.monotonic()
        self._perform(record, record.life.give_up(why, is_charged=is_charged, now=now))

    # ---- what the lives of slaves decide

    def _perform(self, record: SlaveRecord, actions: list[LifeAction]) -> None:
        """Perform a life's actions, in order.

        What one of them brings about may lead back here before the next is performed. That is right
        all the same: the life has changed before the first, and messages are released by the last.
        """
        for action in actions:
            match action:
                case Tell(event, arguments):
                    now = time.monotonic()
                    # by its name: the scheduler may be one that also tells observers
                    tell = getattr(self._scheduler, event.__name__)
                    self._decide(tell(record.index, *arguments, now))
                case LookAt(when):
                    self._look_at(record, when)
                case Changed():
                    self._changed(record)
                case Ping():
                    _ping(record.link)
                case Warn(text, key):
                    said = explained(text, key, once=True) if key else text
                    _logger.warning("%s", said)
                case Listen() | Close() | Refuse() | Welcome() | Resume():
                    self._perform_on_stream(record, action)
                case ForgetRunner():
                    record.forget_runner()
                case Release():
                    self._inbound.release(record)
                case EndSession():
                    record.end_session()
                case Lost(text, is_charged):
                    self._lose(record, text, is_charged)
                case Inform(text):
                    _logger.info("%s", text)
                case LaunchAgain():
                    self._launches.begin([record])
                case LookAfter():
                    self._launches.look_after(record)
                case Ask() | TellLaunch() | LetGo() if record.watch is not None:
                    self._perform_on_launch(record, record.watch, action)

    def _perform_on_stream(
        self, record: SlaveRecord, action: Listen | Close | Refuse | Welcome | Resume
    ) -> None:
        match action:
            case Listen(stream):
                self._admission.listen(record, stream)
            case Close(stream):
                self._admission.close(record, stream)
            case Refuse(stream, why):
                self._admission.refuse(record, stream, why)
            case Welcome(stream):
                self._admission.welcome(record, stream)
            case Resume(stream, received):
                self._admission.resume(record, stream, received)
        if record.link is not None:
            self._unflushed[record.index] = record.link

    def _perform_on_launch(
        self, record: SlaveRecord, watch: LaunchWatch, action: Ask | TellLaunch | LetGo
    ) -> None:
        match action:
            case Ask(question, has_ended):
                watch.explain(record.index, question, has_ended=has_ended)
            case TellLaunch(is_connected):
                watch.note_connection(record.index, is_connected=is_connected)
            case LetGo(grace_s):
                watch.let_go(record.index, grace_s)
                record.watch = None

    def _look_at(self, record: SlaveRecord, when: float) -> None:
        def look() -> None:
            signs = _signs_over(record.link)
            self._perform(record, record.life.tick(signs, time.monotonic()))

        self._loop.call_at(when, look)

    def _lose(self, record: SlaveRecord, text: str, is_charged: bool) -> None:
        used_up = self._scheduler.relaunches_used_up(record.index)
        if used_up:
            text += (
                f"\n    it had been launched again {used_up} times (the Manager's max_relaunches)"
            )
        record.failure = f"{record}: {text}"
        if self._losses is None:
            from .losses import LossLog

            self._losses = LossLog(self._loop.call_at)
        self._losses.note(record)
        cause = f"on {record}, the whole slave was lost: {text}"
        now = time.monotonic()
        self._decide(self._scheduler.slave_lost(record.index, is_charged, cause, now))
        self._perform(record, record.life.loss_told(now))


def _ping(link: Link | None) -> None:
    if link is not None:
        link.session.acknowledge()
        link.session.send_control(protocol.PING)
        link.flush()


def _signs_over(link: Link | None) -> StreamSigns:
    if link is None:
        return StreamSigns()
    session = link.session
    return StreamSigns(
        link.heard_at,
        session.read_bytes,
        session.written_bytes,
        session.unfinished_bytes,
        session.has_unsent,
        bool(session.unsent_descriptors),
        session.is_acknowledged,
    )
