"""Slaves that are not heard, or have no stream: suspected, waited for, asked after, given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._plugins.launch import LaunchPhase
from .._scheduler.actions import Action
from .inquiries import Evidence, Inquiries
from .record import SlaveRecord
from .state import SlaveState

if TYPE_CHECKING:
    from .._scheduler.scheduler import Scheduler
    from .._wire.link import Link

_logger = logging.getLogger("imp_parallel.slaves")

_MAY_COME_BACK = (LaunchPhase.SUSPENDED, LaunchPhase.QUEUED)  # queued again: to be restarted
_ASKED = 4  # so often a launch is asked that may be slow to answer
_FIRST_PAUSE_S = 1.0  # between the questions whether a slave without a stream has ended; …
_LAST_PAUSE_S = 4.0  # … they double, and then follow the heartbeats


class Absences:
    """Waits for slaves that may come back, and finds out which won't.

    Args:
        scheduler: what to tell.
        perform: performs the scheduler's actions.
        call_at: runs a function in the engine's thread, at a monotonic time.
        inquiries: who asks launches.
        entered: called with a record and the state that it has entered, and a detail or "".
        lost: called with a slave that has gone for good, how, and whether its item is to blame.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        perform: Callable[[list[Action]], None],
        call_at: Callable[[float, Callable[[], None]], None],
        inquiries: Inquiries,
        *,
        entered: Callable[[SlaveRecord, SlaveState, str], None],
        lost: Callable[[SlaveRecord, str, bool], None],
    ) -> None:
        self._scheduler = scheduler
        self._perform = perform
        self._call_at = call_at
        self._inquiries = inquiries
        self._enter = entered
        self._lost = lost

    def suspect(self, record: SlaveRecord, silent_s: float) -> None:
        """A slave has not been heard for long: its tasks may begin elsewhere."""
        _logger.warning("%s has not been heard for %.1f s", record, silent_s)
        record.is_suspected = True
        record.tell_launch(is_connected=False)
        if record.state is not SlaveState.RECONNECTING:
            self._enter(record, SlaveState.SUSPECTED, f"not heard for {silent_s:.0f} s")
        self._perform(self._scheduler.slave_suspected(record.index, time.monotonic()))

    def hear(self, record: SlaveRecord) -> None:
        """A suspected slave is heard again."""
        _logger.warning("%s is heard again", record)
        record.is_suspected = False
        record.tell_launch(is_connected=True)
        self._enter(record, record.connected_state, "")
        self._perform(self._scheduler.slave_heard(record.index, time.monotonic()))

    def await_return(self, record: SlaveRecord, link: Link, how: str) -> None:
        """A slave may dial again, unless its launch knows that it has ended."""
        if record.state is not SlaveState.RECONNECTING:
            _logger.warning("%s: %s; it may come back", record, how)
            self._enter(record, SlaveState.RECONNECTING, how)
            record.tell_launch(is_connected=False)
            self._perform(self._scheduler.slave_away(record.index, time.monotonic()))
        self._ask_soon_for_end(record, link, _FIRST_PAUSE_S)

    def _ask_soon_for_end(self, record: SlaveRecord, link: Link, pause_s: float) -> None:
        """Ask again and again at first: a batch system takes seconds to notice an end."""
        if record.link is not link or link.is_open:
            return
        self.ask_for_end(record, has_ended=True)
        if pause_s <= _LAST_PAUSE_S:
            due = time.monotonic() + pause_s
            self._call_at(due, lambda: self._ask_soon_for_end(record, link, 2 * pause_s))

    def ask_for_end(self, record: SlaveRecord, *, has_ended: bool = False) -> None:
        """Ask the launch of a slave without a stream whether it has ended."""
        link, how = record.link, record.detail

        def then(evidence: Evidence) -> None:
            has_gone = evidence.state is not None and evidence.state.phase is LaunchPhase.ENDED
            if has_gone and record.link is link and link is not None and not link.is_open:
                self._lost(record, evidence.of_end(record, how), True)

        self._inquiries.ask(record, then, has_ended=has_ended)

    def give_up(self, record: SlaveRecord, silent_s: float) -> None:
        """A slave was silent for too long; but its launch may know that it will come back."""
        text = f"not heard for {silent_s:.0f} s"
        if record.state is SlaveState.RECONNECTING:
            text = f"{record.detail}, and it did not come back within {silent_s:.0f} s"
        link = record.link

        def then(evidence: Evidence) -> None:
            if record.link is not link or not record.is_suspected:
                return  # it was lost or heard meanwhile
            state = evidence.state
            record.unanswered = record.unanswered + 1 if state is None else 0
            if state is not None and state.phase in _MAY_COME_BACK:
                self._enter(record, record.state, state.detail)
            elif state is not None or record.unanswered >= _ASKED or record.watch is None:
                self._lost(record, text, False)

        self._inquiries.ask(record, then, has_ended=True)
