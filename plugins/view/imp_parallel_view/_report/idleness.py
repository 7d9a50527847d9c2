"""Why slaves were idle: what the tasks and the script were at meanwhile."""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Iterator

from .._slaves import Doing
from .history import History, Span


class Reason(enum.Enum):
    """Why a slave that was ready had nothing to do."""

    NOTHING_ADDED = "before the first task was added"
    NONE_LEFT = "no task was left to start, and others still ran"
    NOT_ADDED_YET = "no task waited: the script added the next ones later"
    ALL_DONE = "all tasks had ended"
    SETUP_FAILED = "the set-up had failed on this slave"
    HELD_BACK = "tasks waited, and none was sent: results were unread, or it took a moment"


class Idleness:
    """Tells the reasons.

    Args:
        history: of the run.
    """

    def __init__(self, history: History) -> None:
        self._first_added = history.first_added
        self._last_added = history.last_added
        self._last_done = history.last_done
        self._times = [at for at, _ in history.waiting]
        self._is_waiting = [waits for _, waits in history.waiting]
        self._failed = {each.slave: each.at for each in reversed(history.setups) if each.error}
        cuts = [self._first_added, self._last_added, self._last_done, *self._times]
        self._cuts = sorted({at for at in cuts if at is not None})

    def reasons(self, slave: str, span: Span) -> Iterator[tuple[Reason, float, float]]:
        """Yield why a slave was idle in a span, piece by piece: reason, begin, end."""
        if span.doing is not Doing.IDLE:
            return
        begin = span.begin
        reason = self._reason(slave, begin)
        for cut in self._cuts[bisect_right(self._cuts, begin) :]:
            if cut >= span.end:
                break
            following = self._reason(slave, cut)
            if following is not reason:
                yield reason, begin, cut
                begin, reason = cut, following
        yield reason, begin, span.end

    def _reason(self, slave: str, at: float) -> Reason:
        """Return why a slave was idle from a moment on."""
        if self._first_added is None or at < self._first_added:
            return Reason.NOTHING_ADDED
        index = bisect_right(self._times, at) - 1
        if index >= 0 and self._is_waiting[index]:
            has_failed = self._failed.get(slave, at + 1.0) <= at
            return Reason.SETUP_FAILED if has_failed else Reason.HELD_BACK
        if self._last_done is None or at >= self._last_done:
            return Reason.ALL_DONE
        if self._last_added is not None and at >= self._last_added:
            return Reason.NONE_LEFT
        return Reason.NOT_ADDED_YET
