"""Performs what the lives of slaves decide (:mod:`.actions`).

The actions go to the scheduler, to the slave's launch, to its streams, or to people. What happens
to launches and streams, and what slaves say, comes back into the lives, whose next actions are
performed here in turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._explained import explained
from .._plugins.registry import Plugins
from .._scheduler.actions import Action
from .._wire import protocol
from .._wire.link import Link
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

if TYPE_CHECKING:
    from .._launch.watch import LaunchWatch
    from .._loop import Loop
    from .._scheduler.scheduler import Scheduler
    from .._wire.stream import Stream
    from .losses import LossLog

_logger = logging.getLogger("imp_parallel.slaves")


class LifePerformer:
    """Performs the actions of all slaves' lives, in the engine's thread.

    Args:
        scheduler, decide, plugins, loop, changed: see :class:`.fleet.Fleet`.
        stream_made: called with a slave's index, a stream that its launch has made, and the number
            of that launch.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        decide: Callable[[list[Action]], None],
        plugins: Plugins,
        loop: Loop[Any],
        changed: Callable[[SlaveRecord], None],
        stream_made: Callable[[int, Stream, int], None],
    ) -> None:
        self._scheduler = scheduler
        self._decide = decide
        self._loop = loop
        self._changed = changed
        self._inbound = Inbound(scheduler, decide, self.perform)
        self.admission = Admission(
            loop, scheduler.items_of, self.perform, received=self._inbound.take
        )
        self.launches = Launches(plugins, loop, self.perform, stream_made)
        self.losses: LossLog | None = None  # most runs lose no slave
        self.unflushed: dict[int, Link] = {}
        """Links to slaves, by index, on which something may have been queued."""

    def perform(self, record: SlaveRecord, actions: list[LifeAction]) -> None:
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
                    self.launches.begin([record])
                case LookAfter():
                    self.launches.look_after(record)
                case Ask() | TellLaunch() | LetGo() if record.watch is not None:
                    self._perform_on_launch(record, record.watch, action)

    def _perform_on_stream(
        self, record: SlaveRecord, action: Listen | Close | Refuse | Welcome | Resume
    ) -> None:
        match action:
            case Listen(stream):
                self.admission.listen(record, stream)
            case Close(stream):
                self.admission.close(record, stream)
            case Refuse(stream, why):
                self.admission.refuse(record, stream, why)
            case Welcome(stream):
                self.admission.welcome(record, stream)
            case Resume(stream, received):
                self.admission.resume(record, stream, received)
        if record.link is not None:
            self.unflushed[record.index] = record.link

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
            self.perform(record, record.life.tick(signs, time.monotonic()))

        self._loop.call_at(when, look)

    def _lose(self, record: SlaveRecord, text: str, is_charged: bool) -> None:
        used_up = self._scheduler.relaunches_used_up(record.index)
        if used_up:
            text += (
                f"\n    it had been launched again {used_up} times (the Manager's max_relaunches)"
            )
        record.failure = f"{record}: {text}"
        if self.losses is None:
            from .losses import LossLog

            self.losses = LossLog(self._loop.call_at)
        self.losses.note(record)
        cause = f"on {record}, the whole slave was lost: {text}"
        now = time.monotonic()
        self._decide(self._scheduler.slave_lost(record.index, is_charged, cause, now))
        self.perform(record, record.life.loss_told(now))


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
