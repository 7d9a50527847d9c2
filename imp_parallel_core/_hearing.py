"""What slaves say, told to the scheduler. In the engine's thread.

A slave's messages are taken in order. After one that says that its runner has died, the next ones
wait until the loss has been explained: they are the next runner's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from . import _messages as messages
from . import _protocol as protocol
from ._actions import Action, Outcome, OutcomeKind
from ._errors import ProtocolError
from ._evidence import Evidence, Inquiries
from ._link import Link
from ._protocol import Message
from ._shared_memory import open_segment
from ._slave_record import SlaveRecord
from ._slave_state import SlaveState

if TYPE_CHECKING:
    from ._scheduler import Scheduler

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
            self._receive(record, link, message)
        except ProtocolError as problem:
            self._break(record, link, f"it broke the protocol: {problem}")
            return
        if record.is_leaving and link.is_open and not self._scheduler.items_of(record.index):
            link.send(protocol.LEAVE)  # nothing more will come of it
            link.flush()

    def _receive(self, record: SlaveRecord, link: Link, message: Message) -> None:
        kind, head, segments = message
        now, index = link.heard_at, record.index
        if kind == protocol.OUTCOME:
            item, status, duration_s = messages.unpack_outcome(head)
            what = OutcomeKind.VALUE if status == messages.VALUE else OutcomeKind.RAISED
            outcome = Outcome(what, segments, index, sum(map(len, segments)))
            self._perform(self._scheduler.item_ended(index, item, outcome, duration_s, now))
        elif kind == protocol.VALUES:
            self._values_arrived(index, segments, now)
        elif kind == protocol.TAKEN_BACK:
            items = messages.unpack_items(head)
            self._perform(self._scheduler.items_returned(index, items, now))
        elif kind == protocol.RUNNER_READY:
            record.runner_pid = messages.unpack_runner_ready(head).pid
            record.has_joined = True
            self._enter(record, record.connected_state, "")
            self._perform(self._scheduler.runner_ready(index, now))
        elif kind == protocol.RUNNER_LOST:
            self._runner_lost(record, link, message)
        elif kind == protocol.LEAVING:
            self._leaving(record, _text_of(message))
        elif kind == protocol.PAUSED:
            self._paused(record, _text_of(message))
        elif kind == protocol.RESUMED:
            record.is_paused = False
            _logger.warning("%s was stopped, and goes on", record)
            self._enter(record, record.connected_state, "")
            self._perform(self._scheduler.slave_back(index, now))
        else:
            self._break(record, link, f"it broke the protocol: a message of kind {kind}")

    def _values_arrived(self, index: int, segments: Sequence[protocol.Segment], now: float) -> None:
        make, what = tuple.__new__, OutcomeKind.VALUE  # Outcome's own __new__ takes twice as long
        ended = [
            (item, make(Outcome, (what, (pickled,), index, len(pickled))), duration_s)
            for segment in segments
            for item, duration_s, pickled in messages.unpack_values(bytes(open_segment(segment)))
        ]
        self._perform(self._scheduler.items_ended(index, ended, now))

    def _leaving(self, record: SlaveRecord, reason: str) -> None:
        record.is_leaving = True
        record.leaves_because = reason
        _logger.warning("%s leaves: it %s", record, reason)
        self._enter(record, SlaveState.LEAVING, reason)
        self._perform(self._scheduler.slave_leaving(record.index))

    def _paused(self, record: SlaveRecord, reason: str) -> None:
        record.is_paused = True
        _logger.warning("%s gets no tasks for a while: it %s", record, reason)
        self._enter(record, SlaveState.PAUSED, reason)
        self._perform(self._scheduler.slave_away(record.index))

    def _runner_lost(self, record: SlaveRecord, link: Link, message: Message) -> None:
        item, peak_memory_bytes, was_asked = messages.unpack_runner_lost(message.head)
        how = _text_of(message)
        blamed = 0 if was_asked else item
        cause = f"on {record}, its runner {how}; peak memory {peak_memory_bytes / 1e6:.0f} MB"
        record.runner_pid = None
        record.bundles_sent.clear()
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
        self._perform(self._scheduler.runner_lost(record.index, blamed, cause, time.monotonic()))
        for message in held or ():
            self.take(record, link, message)
        if record.link is not None and not record.link.is_open:  # it ended meanwhile
            self._ended(record, record.link, "its connection ended")


def _text_of(message: Message) -> str:
    """Return the text that is a message's one segment. Raises ProtocolError if there is none."""
    if not message.segments:
        raise ProtocolError(f"a message of kind {message.kind} without its text")
    return bytes(open_segment(message.segments[0])).decode(errors="replace")
