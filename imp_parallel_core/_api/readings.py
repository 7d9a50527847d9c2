"""How the results of a context are read: the iterators over them, and what one has left unread."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Any

from .._errors import ClosedError, UnreadResultsWarning
from .._explained import explained
from .open_context import OpenContext

_INTERRUPTED = -1
_of_sys = vars(sys)  # asked for each result; a module takes long to say that it lacks a name


def _last_shown() -> int:
    """Return a number that changes with each error that an interactive session shows."""
    return id(_of_sys.get("last_value"))


class Readings:
    """All readings of one context's results, apart from those of its maps."""

    def __init__(self, opened: OpenContext) -> None:
        self._open = opened
        self.left_when: int | None = None
        """When one may have been cut short: the number of the last error shown, or _INTERRUPTED."""

    def warn_of_what_is_left(self) -> None:
        """Warn the caller's caller if a Ctrl-C, or an error that was shown, has cut one short.

        A script that breaks out of a loop, or takes one result at a time, and then adds tasks does
        so on purpose. An error that ended a notebook's cell has been shown since.
        """
        left_when, self.left_when = self.left_when, None
        if left_when == _last_shown():
            self.left_when = left_when
        elif self._open.inbox.has_unread:
            text = (
                "reading the results of this context was cut short, and what it left unread will "
                "come among the results of the new tasks; context.clear() forgets it"
            )
            text = explained(text, "unread-results")
            warnings.warn(text, UnreadResultsWarning, stacklevel=3)

    def iterate(
        self,
        *,
        in_order: bool,
        returns_errors: bool,
        is_numbered: bool,
        timeout_s: float | None,
    ) -> Iterator[Any]:
        """Yield the results that have not been read, as ``Context.get_results`` says."""
        results = self._open.results
        try:
            while True:
                self.left_when = None
                inbox = self._open.inbox
                try:
                    opened = results.take_next(inbox, in_order=in_order, timeout_s=timeout_s)
                except ClosedError:
                    if inbox is self._open.inbox:
                        raise
                    continue  # another thread has cleared the context
                if opened is None:
                    if inbox is self._open.inbox:
                        return
                    continue
                delivery, value, failure = opened
                inbox.note_read(delivery)
                self.left_when = _last_shown()  # unless there is a next time
                # claim() removes the result in one step; a Ctrl-C before leaves it in the inbox
                if inbox.claim(delivery.task.number, None) is None:
                    inbox.unnote_read(delivery)  # another reader was faster
                    continue
                if failure is not None and not returns_errors:
                    raise failure
                yield (delivery.task.number, value) if is_numbered else value
        except KeyboardInterrupt:
            self.left_when = _INTERRUPTED
            raise
