"""Slaves that are heard: whether they have runners, take what they are sent, do what they owe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._scheduler.actions import Action
from .._scheduler.patience import LOOKS
from .record import SlaveRecord, StreamSigns

if TYPE_CHECKING:
    from .._scheduler.scheduler import Scheduler
    from .._wire.link import Link

_BUFFERED = 4  # times as long, for a slave that may not have got what was written
_LEAST_BYTES_PER_S = 512  # of something large that is on its way: a slow modem manages more


class Attendance:
    """Looks at each slave that is heard, four times in its ``heartbeat_timeout``.

    Args:
        scheduler: decides what follows from a slave that does not do what it should.
        perform: performs that.
        given_up: called with a slave that is to be lost, and why.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        perform: Callable[[list[Action]], None],
        given_up: Callable[[SlaveRecord, str], None],
    ) -> None:
        self._scheduler = scheduler
        self._perform = perform
        self._give_up = given_up

    def check(self, record: SlaveRecord) -> None:
        """Look at a slave that has a stream and is not suspected."""
        link = record.link
        if link is None or record.is_paused or record.held is not None:
            return
        if record.runner_pid is None:
            self._check_runner(record)
        elif self._has_all(record, link):
            patience_s, now = record.heartbeat_timeout_s, time.monotonic()
            self._perform(self._scheduler.slave_present(record.index, patience_s, now))

    def _check_runner(self, record: SlaveRecord) -> None:
        """It must have a runner before long: nobody waits for it for ever."""
        waited_s = time.monotonic() - record.without_runner_since
        if waited_s >= record.connect_timeout_s:
            text = f"it is heard, but has had no runner for {waited_s:.0f} s (connect_timeout)"
            self._give_up(record, text)

    def _has_all(self, record: SlaveRecord, link: Link) -> bool:
        """Whether it has been heard since the last look, and would have answered by now."""
        session = link.session
        before = record.signs
        signs = record.signs = StreamSigns(
            session.read_bytes, session.written_bytes, session.unfinished_bytes
        )
        if signs.read_bytes == before.read_bytes:
            return False  # it may be stopped
        if session.has_unsent:
            if not session.unsent_descriptors:  # those may wait for what other slaves hold
                self._check_taking(record, before)
            return False
        record.not_taken = 0
        if signs.unfinished_bytes and signs.unfinished_bytes != before.unfinished_bytes:
            least = _LEAST_BYTES_PER_S * record.heartbeat_timeout_s / LOOKS
            if signs.read_bytes - before.read_bytes >= least:
                return False  # its answer waits behind something large
        record.not_acknowledged = 0 if session.is_acknowledged else record.not_acknowledged + 1
        return record.not_acknowledged % _BUFFERED == 0  # the network's buffers may hold much

    def _check_taking(self, record: SlaveRecord, before: StreamSigns) -> None:
        """It must take what it is sent, however slowly."""
        has_taken = record.signs.written_bytes != before.written_bytes
        record.not_taken = 0 if has_taken else record.not_taken + 1
        if record.not_taken > LOOKS:
            timeout_s = record.heartbeat_timeout_s
            text = f"it is heard, but has taken nothing of what it was sent for {timeout_s:g} s"
            self._give_up(record, f"{text} (heartbeat_timeout)")
