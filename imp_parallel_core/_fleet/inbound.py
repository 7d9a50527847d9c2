"""What slaves say: of tasks, straight to the scheduler; of themselves, to their lives.

A slave's messages are taken in order. After one that says that its runner has died, the next ones
wait until the loss has been explained: they are the next runner's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from .._errors import ProtocolError
from .._printable import printable
from .._scheduler.actions import Action
from .._scheduler.tasks import Ended, Outcome, OutcomeKind
from .._wire import heads, protocol
from .._wire.link import Link
from .._wire.protocol import Message
from .._wire.segments import DroppedSegments
from .._wire.shared_memory import open_segment
from .._wire.value_records import unpack_values
from .actions import LifeAction
from .record import SlaveRecord

if TYPE_CHECKING:
    from .._scheduler.scheduler import Scheduler
    from .._wire.shared_memory import Segment
    from .life import SlaveLife

_OF_ITSELF = (
    protocol.RUNNER_READY,
    protocol.RUNNER_LOST,
    protocol.LEAVING,
    protocol.PAUSED,
    protocol.RESUMED,
)


class Inbound:
    """Takes the messages of all slaves.

    Args:
        scheduler: what to tell of tasks.
        decide: performs the scheduler's actions.
        perform: performs what a slave's life decides.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        decide: Callable[[list[Action]], None],
        perform: Callable[[SlaveRecord, list[LifeAction]], None],
    ) -> None:
        self._scheduler = scheduler
        self._decide = decide
        self._perform = perform

    def take(self, record: SlaveRecord, link: Link, message: Message) -> None:
        """Take a message, or keep it until the loss before it has been explained."""
        session = record.life.session
        if session is None:
            return  # it has just been given up
        if session.is_suspected:
            self._perform(record, record.life.heard(link.heard_at))
        if session.is_explaining:
            record.held.append(message)
            return
        try:
            act, arguments = self._read(record, link, message)
        except ProtocolError as problem:
            how = f"it broke the protocol: {problem}"
        except Exception as problem:  # whatever it sent costs this slave alone
            how = f"what it sent can't be read: {type(problem).__name__}: {problem}"
        else:
            act(*arguments)
            if session.is_leaving and link.is_open and not self._scheduler.items_of(record.index):
                link.send(protocol.LEAVE)  # nothing more will come of it
                link.flush()
            return
        self._perform(record, record.life.broken(session.stream, how, time.monotonic()))

    def release(self, record: SlaveRecord) -> None:
        """Take the messages that were held, unless the session is over by then."""
        held, record.held = record.held, []
        link = record.link
        if link is not None:
            for message in held:
                self.take(record, link, message)
        holds_items, now = self._scheduler.items_of(record.index) > 0, time.monotonic()
        self._perform(record, record.life.released(holds_items=holds_items, now=now))

    def _read(
        self, record: SlaveRecord, link: Link, message: Message
    ) -> tuple[Callable[..., None], tuple[Any, ...]]:
        """Read a message to its end, before anything is done; return what to call, and with what.

        Raises ProtocolError, or MemoryError.
        """
        kind, head, segments = message
        now, index = link.heard_at, record.index
        if kind == protocol.OUTCOME:
            item, status, duration_s, peak_kib = heads.unpack_outcome(head)
            if status == heads.VALUE and type(segments) is not DroppedSegments:
                what = OutcomeKind.VALUE
            else:
                from .readable_error import readable_error  # most tasks give a value

                what, segments = OutcomeKind.RAISED, readable_error(segments)
            outcome = Outcome(what, segments, index, sum(map(len, segments)), peak_kib << 10)
            return self._item_ended, (index, item, outcome, duration_s, now)
        if kind == protocol.VALUES:
            return self._items_ended, (index, _read_values(index, segments), now)
        if kind == protocol.TAKEN_BACK:
            return self._items_returned, (index, heads.unpack_items(head), now)
        if kind in _OF_ITSELF:
            return self._tell_life, (record, self._read_of_itself(record.life, message, now))
        raise ProtocolError(f"a message of kind {kind}")

    def _read_of_itself(
        self, life: SlaveLife, message: Message, now: float
    ) -> Callable[[], list[LifeAction]]:
        """Read what a slave says of itself to its end; return how to tell its life."""
        kind, head, _ = message
        if kind == protocol.RUNNER_READY:
            pid = heads.unpack_runner_ready(head).pid
            return lambda: life.runner_ready(pid, now)
        if kind == protocol.RESUMED:
            return lambda: life.goes_on(now)
        text = _text_of(message)
        if kind == protocol.LEAVING:
            return lambda: life.leaving(text, now)
        if kind == protocol.PAUSED:
            return lambda: life.paused(text, now)
        item, peak_bytes, was_asked, has_exceeded = heads.unpack_runner_lost(head)
        cause = f"on {life}, its runner {text}"
        if not has_exceeded:
            cause += f"; peak memory {peak_bytes / 1e6:.0f} MB"
        if len(message.segments) > 1:
            from .._printed import LIMIT_BYTES, lost_attempt  # most slaves lose no runner

            printed = memoryview(open_segment(message.segments[1]))
            cause = lost_attempt(cause, bytes(printed[-LIMIT_BYTES:]))
        blamed, exceeded_bytes = 0 if was_asked else item, peak_bytes if has_exceeded else 0
        return lambda: life.runner_lost(blamed, text, cause, now, exceeded_bytes=exceeded_bytes)

    def _tell_life(self, record: SlaveRecord, tell: Callable[[], list[LifeAction]]) -> None:
        self._perform(record, tell())

    def _item_ended(
        self, index: int, item: int, outcome: Outcome, duration_s: float, now: float
    ) -> None:
        self._decide(self._scheduler.item_ended(index, item, outcome, duration_s, now))

    def _items_ended(self, index: int, ended: Ended, now: float) -> None:
        self._decide(self._scheduler.items_ended(index, ended, now))

    def _items_returned(self, index: int, items: list[int], now: float) -> None:
        self._decide(self._scheduler.items_returned(index, items, now))


def _read_values(index: int, segments: Sequence[Segment]) -> Ended:
    if any(len(segment) > protocol.FRAME_LIMIT_BYTES for segment in segments):
        raise ProtocolError("VALUES that are too large for it")
    parts = [unpack_values(bytes(open_segment(segment))) for segment in segments]
    if len(parts) == 1:  # nearly always
        items, durations_s, peaks_kib, pickles = parts[0]
    else:
        columns = zip(*parts, strict=True) if parts else ((), (), (), ())
        items, durations_s, peaks_kib, pickles = map(list, map(chain.from_iterable, columns))
    sizes = list(map(len, pickles))
    peaks_bytes = [peak << 10 for peak in peaks_kib] if any(peaks_kib) else peaks_kib
    fields = zip(repeat(OutcomeKind.VALUE), zip(pickles), repeat(index), sizes, peaks_bytes)
    outcomes = list(map(tuple.__new__, repeat(Outcome), fields))  # half as long as by Outcome(…)
    return Ended(items, outcomes, durations_s, sizes, peaks_bytes)


def _text_of(message: Message) -> str:
    """Return the text that is a message's one segment. Raises ProtocolError if there is none."""
    if not message.segments:
        raise ProtocolError(f"a message of kind {message.kind} without its text")
    from .readable_error import shortened  # most slaves have no trouble to tell of

    return printable(shortened(message.segments[0]).decode(errors="replace"))
