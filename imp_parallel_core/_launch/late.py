"""Slaves that run, but do not connect: saying so, and what they have said themselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from .._explained import explained
from .._plugins.bootstrap import Bootstrap
from .._plugins.launch import quoted_output
from ..reminder import Reminder

_logger = logging.getLogger("imp_parallel.launch")

_OWN_WORDS = "imp_parallel: "  # begins what a slave says itself, which is of troubles only
_FIRST_S = 3.5  # for a slave that says itself what hinders it
_SILENT_S = 10.0  # for any other: a start may take long on a busy file system
_GROWTH = 3.0
_LOOK_S = 0.5


class Delays:
    """The slaves of one launch that run and have not connected. Used by the launch's thread.

    Args:
        bootstraps: one for each slave of the launch.
    """

    def __init__(self, bootstraps: Sequence[Bootstrap]) -> None:
        self._output_paths = {bootstrap.index: bootstrap.output_path for bootstrap in bootstraps}
        self._since: dict[int, float] = {}
        self._reminders: dict[int, Reminder] = {}

    def note(self, index: int, now: float, *, is_running: bool) -> None:
        """Note whether a slave runs that has not connected."""
        if is_running:
            self._since.setdefault(index, now)
            self._reminders.setdefault(index, Reminder(_FIRST_S, _GROWTH))
        else:
            self._since.pop(index, None)
            self._reminders.pop(index, None)

    @property
    def longest_pause_s(self) -> float:
        """How soon :meth:`tell` wants to be called again; it may be infinite."""
        return _LOOK_S if self._since else float("inf")

    def tell(self, now: float, log_tail: Callable[[int], str]) -> None:
        """Warn of the slaves that are late, if any: of all in one line, with the words of one.

        Args:
            now: the time.
            log_tail: returns the end of a slave's output.
        """
        late = [
            index
            for index, since in self._since.items()
            if self._reminders[index].is_due(now - since)
        ]
        if not late:
            return
        first = late[0]
        waited_s, output = now - self._since[first], log_tail(first)
        if waited_s < _SILENT_S and _OWN_WORDS not in output:
            return
        for index in late:
            self._reminders[index].note_told(now - self._since[index])
        others = f" ({len(late) - 1} more likewise)" if len(late) > 1 else ""
        quoted = quoted_output(self._output_paths[first], output)
        text = (
            f"slave {first} has been running for {waited_s:.0f} s, and has not connected{others}"
            f"{quoted}"
        )
        _logger.warning("%s", explained(text, "slave-not-connected", once=True))
