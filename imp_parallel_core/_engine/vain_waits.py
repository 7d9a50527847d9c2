"""Saying that results are waited for while no slave has ever worked: ever more seldom, and why."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .._explained import explained
from ..reminder import Reminder

if TYPE_CHECKING:
    from .._fleet.info import SlaveInfo

_logger = logging.getLogger("imp_parallel.waiting")

_FIRST_S = 10.0
_GROWTH = 3.0
_FORGET_S = 5.0  # who has not looked for so long has done something else meanwhile
_REASONS = 3


class WaitingNotice:
    """Warns those who wait for results of a Manager whose slaves have never worked.

    Several threads may wait; a second warning at the same time does no harm.

    Args:
        has_worked: returns whether any slave has worked.
        slaves: returns what each slave is doing.
    """

    def __init__(
        self, has_worked: Callable[[], bool], slaves: Callable[[], Sequence[SlaveInfo]]
    ) -> None:
        self._has_worked = has_worked
        self._slaves = slaves
        self._is_over = False
        self._reminder = Reminder(_FIRST_S, _GROWTH)
        self._since = self._seen_at = float("-inf")

    def look(self, now: float) -> None:
        """Warn if it is time. Called every second or so by whoever waits.

        Args:
            now: the monotonic time, in seconds.
        """
        self._is_over = self._is_over or self._has_worked()
        if self._is_over:
            return
        if now - self._seen_at > _FORGET_S:
            self._since = now
        self._seen_at = now
        waited_s = now - self._since
        if self._reminder.remind(waited_s):
            slaves = self._slaves()
            if slaves:  # else an error says so
                text = explained(notice(slaves, waited_s), "no-slave-has-worked", once=True)
                _logger.warning("%s", text)


def notice(slaves: Sequence[SlaveInfo], waited_s: float) -> str:
    """Return what to say: how many slaves are in which state, and why they don't work.

    Args:
        slaves: all slaves.
        waited_s: for how long results have been waited for, in seconds.
    """
    from .._fleet.slave_table import counted  # most slaves start at once

    reasons = Counter(f"{info.state}: {info.detail}" for info in slaves if info.detail)
    firsts = {f"{info.state}: {info.detail}": info.name for info in reversed(slaves)}
    lines = [
        f"no slave has worked yet, and results have been waited for for {waited_s:.0f} s: "
        f"{counted(slaves)}. (imp-parallel check tries one slave, and says what it waits for.)"
    ]
    for reason, count in reasons.most_common(_REASONS):
        more = f" ({count - 1} more likewise)" if count > 1 else ""
        lines.append(f"    {firsts[reason]}: {reason}{more}")
    if len(reasons) > _REASONS:
        lines.append(f"    {len(reasons) - _REASONS} more reasons: print(manager.slaves)")
    return "\n".join(lines)
