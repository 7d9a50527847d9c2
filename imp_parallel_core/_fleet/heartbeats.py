"""Signs of life: which slaves have been heard, and what follows if one has not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._wire import protocol
from .record import SlaveRecord

if TYPE_CHECKING:
    from .._wire.link import Link

_logger = logging.getLogger("imp_parallel.slaves")

_CHECKS_IN_TIMEOUT = 4


class Heartbeats:
    """Looks after each slave's session from its begin to its end.

    Args:
        call_at: runs a function in the engine's thread, at a monotonic time.
        suspected: called with a slave that has not been heard for ``heartbeat_timeout``, and for
            how long (s).
        heard: called with a suspected slave that has been heard.
        missed: called now and then with a slave that has no stream.
        present: called now and then with a slave that is heard.
        given_up: called with a slave that has not come back within ``reconnect_timeout`` after
            that, and for how long it has not been heard (s).
    """

    def __init__(
        self,
        call_at: Callable[[float, Callable[[], None]], None],
        *,
        suspected: Callable[[SlaveRecord, float], None],
        heard: Callable[[SlaveRecord], None],
        missed: Callable[[SlaveRecord], None],
        present: Callable[[SlaveRecord], None],
        given_up: Callable[[SlaveRecord, float], None],
    ) -> None:
        self._call_at = call_at
        self._suspected = suspected
        self._heard = heard
        self._missed = missed
        self._present = present
        self._given_up = given_up

    def begin(self, record: SlaveRecord) -> None:
        """A slave's session has begun."""
        self._check(record, record.session_token, time.monotonic())

    def _check(self, record: SlaveRecord, session_token: str, due: float) -> None:
        link = record.link
        if record.session_token != session_token or link is None:
            return
        now = time.monotonic()
        interval_s = record.heartbeat_timeout_s / _CHECKS_IN_TIMEOUT
        if now - due > interval_s:  # this process did not run, and could hear nobody
            link.heard_at = min(now, link.heard_at + now - due)
        silent_s = now - link.heard_at
        if silent_s < record.heartbeat_timeout_s:
            if record.is_suspected:
                self._heard(record)
        elif not record.is_suspected:
            self._suspected(record, silent_s)
            record.silence_told_s = silent_s
        elif silent_s >= 2 * record.silence_told_s:  # ever more seldom, but never in silence
            _logger.warning("%s has still not been heard, for %.0f s now", record, silent_s)
            record.silence_told_s = silent_s
        if link.session.resumable:
            self._care_for_session(record, link, silent_s)
        if link.is_open and silent_s < record.heartbeat_timeout_s:
            self._present(record)
        self._call_at(
            now + interval_s, lambda: self._check(record, session_token, now + interval_s)
        )

    def _care_for_session(self, record: SlaveRecord, link: Link, silent_s: float) -> None:
        """Be heard by the slave, who dials again if it hears nothing; or wait for it."""
        if silent_s >= record.heartbeat_timeout_s + record.reconnect_timeout_s:
            self._given_up(record, silent_s)
        elif link.is_open:
            link.session.acknowledge()
            link.session.send_control(protocol.PING)
            link.flush()
        else:
            self._missed(record)
