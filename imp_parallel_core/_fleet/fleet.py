"""The slaves as the engine sees them: launched, connected, heard, lost.

Turns what happens to slaves into the scheduler's events. Runs in the engine's thread only, but for
the reports of launch threads, which are posted to it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._plugins.registry import Plugins
from .._scheduler.actions import Action
from .._wire import protocol
from .._wire.link import Link, close_quietly
from .._wire.protocol import Message
from .absences import Absences
from .admission import Reception
from .attendance import Attendance
from .heartbeats import Heartbeats
from .inbound import Hearing
from .inquiries import Evidence, Inquiries
from .launches import Launches
from .record import SlaveRecord
from .state import SlaveState

if TYPE_CHECKING:
    from .._launch.watch import LaunchWatch
    from .._loop import Loop
    from .._scheduler.scheduler import Scheduler
    from .._wire.shared_memory import Segment
    from .._wire.stream import Stream
    from .losses import LossLog

_logger = logging.getLogger("imp_parallel.slaves")

_LEAVING_S = 1.0  # for what is left of a slave that was lost, before it is ended by force


class Fleet:
    """All slaves of a Manager.

    Args:
        scheduler: what to tell about slaves.
        perform: performs the scheduler's actions.
        plugins: who launches.
        loop: the engine's.
        changed: is told a record whose state has changed.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        perform: Callable[[list[Action]], None],
        plugins: Plugins,
        loop: Loop[Any],
        changed: Callable[[SlaveRecord], None],
    ) -> None:
        self.records: dict[int, SlaveRecord] = {}
        self._scheduler = scheduler
        self._perform = perform
        self._changed = changed
        self._inquiries = Inquiries(loop.call_at)
        self._loop = loop
        self._losses: LossLog | None = None
        self._unflushed: dict[int, Link] = {}
        self._is_closed = False
        self._launches = Launches(
            self.records,
            plugins,
            loop,
            entered=self._enter,
            failed=lambda record, why: self._lost(record, why, is_charged=False),
            ended=lambda record, why: self._lose(record, why, is_charged=False),
            stream_made=self.stream_made,
            explained=self._inquiries.answer,
        )
        self._reception = Reception(
            loop,
            restarted=self._restarted,
            begun=self._begun,
            resumed=self._resumed,
            failed=lambda record, how: self._lose(record, how, is_charged=True),
            broken=self._break,
            received=self._received,
            ended=self._ended,
        )
        self._hearing = Hearing(
            scheduler,
            perform,
            self._inquiries,
            entered=self._enter,
            broken=self._break,
            ended=self._ended,
        )
        self._absences = Absences(
            scheduler,
            perform,
            loop.call_at,
            self._inquiries,
            entered=self._enter,
            lost=lambda record, how, is_charged: self._lost(record, how, is_charged=is_charged),
        )
        self._heartbeats = Heartbeats(
            loop.call_at,
            suspected=self._absences.suspect,
            heard=self._absences.hear,
            missed=self._absences.ask_for_end,
            present=Attendance(scheduler, perform, self._give_up).check,
            given_up=self._absences.give_up,
        )

    # ---- launching

    def launch(self, records: Sequence[SlaveRecord]) -> None:
        """Launch slaves that are described by one description."""
        for record in records:
            self.records[record.index] = record
            is_relaunchable = record.description.is_relaunchable
            self._perform(self._scheduler.slave_added(record.index, is_relaunchable))
            self._changed(record)
        self._launches.begin(records)

    def relaunch(self, index: int) -> None:
        """Launch a slave again that was lost."""
        record = self.records[index]
        _logger.info("%s is launched again", record.name)
        if record.watch is not None:
            record.watch.let_go(index)
        self._enter(record, SlaveState.LAUNCHING)
        self._launches.begin([record])

    def withdrawable(self) -> list[SlaveRecord]:
        """Return the slaves that wait in a queue and can be withdrawn from it, in order."""
        return [
            record
            for record in self.records.values()
            if record.state is SlaveState.QUEUED and record.watch and record.watch.can_withdraw
        ]

    def withdraw(self, records: Sequence[SlaveRecord]) -> None:
        """Give up slaves that wait in a queue, and are not needed."""
        by_watch: dict[LaunchWatch, list[int]] = {}
        for record in records:
            self._enter(record, SlaveState.GONE, "not needed: there are fewer tasks than slaves")
            now = time.monotonic()
            self._perform(self._scheduler.slave_lost(record.index, False, "", now))
            if record.watch is not None:
                by_watch.setdefault(record.watch, []).append(record.index)
        for watch, indices in by_watch.items():
            watch.withdraw(indices)
        _logger.info("%d slaves that waited in a queue are not needed any more", len(records))

    def set_aside(self, index: int, deaths: int) -> None:
        """A slave gets no tasks for a while: so many have died on it, one after the other."""
        record = self.records[index]
        record.aside = f"{deaths} tasks in a row have died here, while other slaves work"
        _logger.warning("%s gets no tasks for a while: %s", record, record.aside)
        if record.state in (SlaveState.IDLE, SlaveState.CONNECTED):
            self._enter(record, SlaveState.SET_ASIDE, record.aside)

    def take_up(self, index: int) -> None:
        """A slave that was set aside is tried again."""
        record = self.records[index]
        record.aside = ""
        _logger.info("%s is tried again", record)
        if record.state is SlaveState.SET_ASIDE:
            self._enter(record, record.connected_state)

    # ---- connections

    def stream_made(self, index: int, stream: Stream) -> None:
        """A stream is there whose peer claims to be a slave."""
        record = self.records.get(index)
        if record is None or self._is_closed:
            close_quietly(stream)
            return
        try:
            self._reception.receive(record, stream)
        except Exception as problem:  # a plugin's stream
            close_quietly(stream)
            text = f"its stream can't be used: {type(problem).__name__}: {problem}"
            _logger.warning("%s: %s", record, text)
            if record.link is None and not record.host:
                self._lose(record, text, is_charged=False)

    def _restarted(self, record: SlaveRecord) -> None:
        """Another start of a slave takes its place: what the one before was at goes back."""
        _logger.warning("%s has been started anew by its batch system", record)
        self._inquiries.drop(record.index)
        record.end_session()
        self._launches.look_after(record)
        cause = f"on {record}, its batch system started the slave anew"
        now = time.monotonic()
        self._perform(self._scheduler.slave_restarted(record.index, cause, now))

    def _begun(self, record: SlaveRecord) -> None:
        self._flush_soon(record)
        self._enter(record, SlaveState.CONNECTED)
        record.tell_launch(is_connected=True)
        self._heartbeats.begin(record)

    def _resumed(self, record: SlaveRecord) -> None:
        """A slave has come back, and goes on where it was."""
        _logger.warning("%s is back", record)
        self._flush_soon(record)
        record.tell_launch(is_connected=True)
        if record.held is None:
            self._inquiries.drop(record.index)
        self._enter(record, record.connected_state)
        if not record.is_paused:
            self._perform(self._scheduler.slave_back(record.index, time.monotonic()))
        if record.is_suspected:
            self._absences.hear(record)

    def send(
        self, index: int, kind: int, head: bytes = b"", segments: Sequence[Segment] = ()
    ) -> None:
        """Queue a message for a slave, if it is connected."""
        link = self.records[index].link
        if link is not None:
            link.send(kind, head, segments)
            self._unflushed[index] = link

    def _flush_soon(self, record: SlaveRecord) -> None:
        if record.link is not None:
            self._unflushed[record.index] = record.link

    def flush(self) -> None:
        """Write what has been queued, as far as it is taken without waiting."""
        unflushed, self._unflushed = self._unflushed, {}
        for link in unflushed.values():
            link.flush()

    def _received(self, record: SlaveRecord, link: Link, message: Message) -> None:
        if record.is_suspected:
            self._absences.hear(record)
        self._hearing.take(record, link, message)

    # ---- ends

    def give_up(self, index: int, why: str, *, is_charged: bool) -> None:
        """Lose a slave that is heard, and that the scheduler has no use for."""
        record = self.records[index]
        if record.link is not None:
            self._break(record, record.link, why, is_charged=is_charged)

    def _give_up(self, record: SlaveRecord, why: str) -> None:
        self.give_up(record.index, why, is_charged=False)

    def _break(self, record: SlaveRecord, link: Link, how: str, *, is_charged: bool = True) -> None:
        """End a session for good."""
        link.close()
        if record.link is link:
            record.link = None
            record.session_token = ""
            self._inquiries.drop(record.index)  # an open one would be answered instead of the next
            self._lose(record, how, is_charged=is_charged)

    def _ended(self, record: SlaveRecord, link: Link, how: str) -> None:
        """The stream of a slave's session has ended."""
        if record.link is not link:
            return
        has_left = record.is_leaving and not self._scheduler.items_of(record.index)
        if link.session.resumable and not has_left:
            self._absences.await_return(record, link, how)
        elif record.held is None:
            record.link = None
            if record.is_leaving:
                self._lost(record, f"left: it {record.leaves_because}", is_charged=False)
            else:
                self._lose(record, how, is_charged=True)

    def _lose(self, record: SlaveRecord, how: str, *, is_charged: bool) -> None:
        """A slave is lost; ask how it ended before anything is decided."""

        def then(evidence: Evidence) -> None:
            self._lost(record, evidence.of_end(record, how), is_charged=is_charged)

        self._inquiries.ask(record, then, has_ended=True)

    def _lost(self, record: SlaveRecord, text: str, *, is_charged: bool) -> None:
        """A slave has gone for good; perhaps another takes its place."""
        if record.state is SlaveState.GONE:
            return
        self._inquiries.drop(record.index)
        if record.watch is not None:
            record.watch.forget(record.index)
        record.end_session()
        used_up = self._scheduler.relaunches_used_up(record.index)
        if used_up:
            text += (
                f"\n    it had been launched again {used_up} times (the Manager's max_relaunches)"
            )
        record.failure = f"{record}: {text}"
        if self._losses is None:
            from .losses import LossLog  # most runs lose no slave

            self._losses = LossLog(self._loop.call_at)
        self._losses.note(record)
        self._enter(record, SlaveState.GONE, text.splitlines()[0])
        cause = f"on {record}, the whole slave was lost: {text}"
        now = time.monotonic()
        self._perform(self._scheduler.slave_lost(record.index, is_charged, cause, now))
        self._let_go_of_gone(record)

    def _let_go_of_gone(self, record: SlaveRecord) -> None:
        """Unless a slave that was lost is launched again: nothing more will be asked of it."""
        if record.state is SlaveState.GONE and record.watch is not None:
            record.watch.let_go(record.index, _LEAVING_S)
            record.watch = None

    def close(self, grace_s: float) -> None:
        """Tell all slaves to leave, and their launches to see to it."""
        for record in self.records.values():
            if record.link is not None:
                if record.host:  # before that, the end of its stream tells it
                    record.link.send(protocol.LEAVE)
                record.link.flush()
        if self._losses is not None:
            self._losses.tell_all()
        self._is_closed = True
        self._launches.cancel(grace_s)

    def join(self, deadline: float) -> list[str]:
        """Wait for the launches' threads; return those that are still busy."""
        return self._launches.join(deadline)

    def abandon(self) -> None:
        """Close this process's ends of all streams and nothing else."""
        for record in self.records.values():
            for link in (record.link, *record.newcomers):
                if link is not None:
                    link.abandon()

    def _enter(self, record: SlaveRecord, state: SlaveState, detail: str = "") -> None:
        if record.enter(state, detail):
            self._changed(record)
