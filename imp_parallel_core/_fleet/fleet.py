"""The slaves of a Manager, for the engine: launched, given messages, withdrawn and ended.

Their lives decide what follows from what happens (:mod:`.life`), and :mod:`.performer` performs
that. What happens comes from three sides, and each goes a straight way:

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

from .._plugins.registry import Plugins
from .._scheduler.actions import Action
from .._wire import protocol
from .._wire.handshake import RUN_IS_OVER
from .._wire.link import close_quietly
from .performer import LifePerformer
from .record import SlaveRecord
from .state import SlaveState

if TYPE_CHECKING:
    from .._errors import NoMoreSlavesError
    from .._launch.watch import LaunchWatch
    from .._loop import Loop
    from .._scheduler.scheduler import Scheduler
    from .._wire.shared_memory import Segment
    from .._wire.stream import Stream

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
        self._changed = changed
        self._performer = performer = LifePerformer(
            scheduler, decide, plugins, loop, changed, self.stream_made
        )
        self._perform = performer.perform
        self._admission = performer.admission
        self._launches = performer.launches
        self._unflushed = performer.unflushed
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
        if self._performer.losses is not None:
            self._performer.losses.tell_all()
        self._is_closed = True
        self._launches.cancel(grace_s)

    def hopeless_error(self) -> NoMoreSlavesError:
        """Return the error for whoever waits now, when no slave runs or will come."""
        from .losses import hopeless  # most runs keep a slave

        return hopeless(self.records.values())

    def error_given(self) -> None:
        """Take note that somebody has been given that error: the log need not say the same."""
        if self._performer.losses is not None:
            self._performer.losses.error_given(self.records.values())

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
        links = list(self._unflushed.values())
        self._unflushed.clear()
        for link in links:
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
