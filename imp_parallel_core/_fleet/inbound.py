"""What slaves say, told to the scheduler. In the engine's thread.

A slave's messages are taken in order. After one that says that its runner has died, the next ones
wait until the loss has been explained: they are the next runner's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._errors import ProtocolError
from .._printable import printable
from .._scheduler.actions import Action
from .._scheduler.tasks import Outcome, OutcomeKind
from .._wire import heads, protocol
from .._wire.link import Link
from .._wire.protocol import Message
from .._wire.segments import DroppedSegments
from .._wire.shared_memory import open_segment
from .inquiries import Evidence, Inquiries
from .record import SlaveRecord
from .state import SlaveState

if TYPE_CHECKING:
    from .._scheduler.scheduler import Scheduler
    from .._wire.shared_memory import Segment

_logger = logging.getLogger("imp_parallel.slaves")


class Hearing:
    """Takes the messages of all slaves.

    Args:
        scheduler: what to tell.
        perform: performs the scheduler's actions.
        inquiries: who finds out what made a runner end.
        entered: called with a record and the state that it has entered, and a detail or "".
        broken: called when a slave breaks the protocol, with its link and how it did.
        ended: called when a link has ended while messages waited.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        perform: Callable[[list[Action]], None],
        inquiries: Inquiries,
        *,
        entered: Callable[[SlaveRecord, SlaveState, str], None],
        broken: Callable[[SlaveRecord, Link, str], None],
        ended: Callable[[SlaveRecord, Link, str], None],
    ) -> None:
        self._scheduler = scheduler
        self._perform = perform
        self._inquiries = inquiries
        self._enter = entered
        self._break = broken
        self._ended = ended

    def take(self, record: SlaveRecord, link: Link, message: Message) -> None:
        """Take a message, or keep it until the loss before it has been explained."""
        if record.held is not None:
            record.held.append(message)
            return
        try:
            act, arguments = self._read(record, link, message)
        except ProtocolError as problem:
            self._break(record, link, f"it broke the protocol: {problem}")
            return
        except Exception as problem:  # whatever it sent costs this slave alone
            name = type(problem).__name__
            self._break(record, link, f"what it sent can't be read: {name}: {problem}")
            return
        act(*arguments)
        if record.is_leaving and link.is_open and not self._scheduler.items_of(record.index):
            link.send(protocol.LEAVE)  # nothing more will come of it
            link.flush()

    def _read(
        self, record: SlaveRecord, link: Link, message: Message
    ) -> tuple[Callable[..., None], tuple[Any, ...]]:
        """Read a message to its end, before anything is done; return what to call, and with what.

        Raises ProtocolError, or MemoryError.
        """
        kind, head, segments = message
        now, index = link.heard_at, record.index
        if kind == protocol.OUTCOME:
            item, status, duration_s = heads.unpack_outcome(head)
            if status == heads.VALUE and type(segments) is not DroppedSegments:
                what = OutcomeKind.VALUE
            else:
                from .readable_error import readable_error  # most tasks give a value

                what, segments = OutcomeKind.RAISED, readable_error(segments)
            outcome = Outcome(what, segments, index, sum(map(len, segments)))
            return self._item_ended, (index, item, outcome, duration_s, now)
        if kind == protocol.VALUES:
            return self._items_ended, (index, _read_values(index, segments), now)
        if kind == protocol.TAKEN_BACK:
            return self._items_returned, (index, heads.unpack_items(head), now)
        if kind == protocol.RUNNER_READY:
            return self._runner_ready, (record, heads.unpack_runner_ready(head).pid, now)
        if kind == protocol.RUNNER_LOST:
            lost = heads.unpack_runner_lost(head)
            return self._runner_lost, (record, link, lost, _text_of(message))
        if kind == protocol.LEAVING:
            return self._leaving, (record, _text_of(message))
        if kind == protocol.PAUSED:
            return self._paused, (record, _text_of(message))
        if kind == protocol.RESUMED:
            return self._goes_on, (record, now)
        raise ProtocolError(f"a message of kind {kind}")

    def _item_ended(
        self, index: int, item: int, outcome: Outcome, duration_s: float, now: float
    ) -> None:
        self._perform(self._scheduler.item_ended(index, item, outcome, duration_s, now))

    def _items_ended(
        self, index: int, ended: Sequence[tuple[int, Outcome, float]], now: float
    ) -> None:
        self._perform(self._scheduler.items_ended(index, ended, now))

    def _items_returned(self, index: int, items: list[int], now: float) -> None:
        self._perform(self._scheduler.items_returned(index, items, now))

    def _runner_ready(self, record: SlaveRecord, pid: int, now: float) -> None:
        record.runner_pid = pid
        record.has_joined = True
        self._enter(record, record.connected_state, "")
        self._perform(self._scheduler.runner_ready(record.index, now))

    def _leaving(self, record: SlaveRecord, reason: str) -> None:
        record.is_leaving = True
        record.leaves_because = reason
        _logger.warning("%s leaves: it %s", record, reason)
        self._enter(record, SlaveState.LEAVING, reason)
        self._perform(self._scheduler.slave_leaving(record.index, time.monotonic()))

    def _paused(self, record: SlaveRecord, reason: str) -> None:
        record.is_paused = True
        _logger.warning("%s gets no tasks for a while: it %s", record, reason)
        self._enter(record, SlaveState.PAUSED, reason)
        self._perform(self._scheduler.slave_away(record.index, time.monotonic()))

    def _goes_on(self, record: SlaveRecord, now: float) -> None:
        record.is_paused = False
        _logger.warning("%s was stopped, and goes on", record)
        self._enter(record, record.connected_state, "")
        self._perform(self._scheduler.slave_back(record.index, now))

    def _runner_lost(
        self, record: SlaveRecord, link: Link, lost: heads.RunnerLostHead, how: str
    ) -> None:
        item, peak_memory_bytes, was_asked = lost
        blamed = 0 if was_asked else item
        cause = f"on {record}, its runner {how}; peak memory {peak_memory_bytes / 1e6:.0f} MB"
        record.runner_pid = None
        record.without_runner_since = time.monotonic()
        if not (record.is_leaving or record.is_paused):
            self._enter(record, SlaveState.CONNECTED, f"its runner {how}")
        record.held = []  # what follows comes from the next runner: it waits for the explanation
        if not blamed:
            self._tell_runner_lost(record, link, 0, cause)
            return
        _logger.warning("%s: its runner %s", record, how)

        def then(evidence: Evidence) -> None:
            self._tell_runner_lost(record, link, blamed, cause + evidence.of_output(record))

        self._inquiries.ask(record, then, has_ended=False)

    def _tell_runner_lost(self, record: SlaveRecord, link: Link, blamed: int, cause: str) -> None:
        held, record.held = record.held, None
        if record.state is SlaveState.GONE:
            return
        record.forget_runner()  # only now: what was sent meanwhile, the slave has dropped
        self._perform(self._scheduler.runner_lost(record.index, blamed, cause, time.monotonic()))
        for message in held or ():
            self.take(record, link, message)
        if record.link is not None and not record.link.is_open:  # it ended meanwhile
            self._ended(record, record.link, "its connection ended")


def _read_values(index: int, segments: Sequence[Segment]) -> list[tuple[int, Outcome, float]]:
    make, what = tuple.__new__, OutcomeKind.VALUE  # Outcome's own __new__ takes twice as long
    if any(len(segment) > protocol.FRAME_LIMIT_BYTES for segment in segments):
        raise ProtocolError("VALUES that are too large for it")
    return [
        (item, make(Outcome, (what, (pickled,), index, len(pickled))), duration_s)
        for segment in segments
        for item, duration_s, pickled in heads.unpack_values(bytes(open_segment(segment)))
    ]


def _text_of(message: Message) -> str:
    """Return the text that is a message's one segment. Raises ProtocolError if there is none."""
    if not message.segments:
        raise ProtocolError(f"a message of kind {message.kind} without its text")
    from .readable_error import shortened  # most slaves have no trouble to tell of

    return printable(shortened(message.segments[0]).decode(errors="replace"))
