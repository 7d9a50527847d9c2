"""One observer of a run: the events that wait for it, and the thread that calls it with them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .._errors import Error
from .._printable import printable

if TYPE_CHECKING:
    from .._plugins.events import Event

_logger = logging.getLogger("imp_parallel.observers")
_PAUSE_S = 0.2  # between two calls: waking a thread for each event would cost more than all else


class Observer:
    """Calls an observer, in a thread of its own. All but :meth:`run` needs the lock.

    Args:
        name: who brought it.
        observe: what to call with lists of events.
        lock: guards the events of all observers, which are told of an event in one go.
        is_closing: set when the last event has been told.
    """

    def __init__(
        self,
        name: str,
        observe: Callable[..., None],
        lock: threading.Lock,
        is_closing: threading.Event,
    ) -> None:
        self.name = name
        self.events: list[Event] = []
        self.queued = 0
        """How many events these are, and tasks in them."""
        self.missed = 0
        """How many events did not fit in since it was last told that it misses some."""
        self.called_at: float | None = None
        """Since when it is in a call; None if it is not."""
        self.thread = 0
        """The identifier of the thread that calls it; 0 before that begins."""
        self.has_ended = threading.Event()
        """Set when it is not called any more."""
        self.changed = threading.Condition(lock)
        """Notified when the first of the events comes, and at the end."""
        self._observe = observe
        self._is_closing = is_closing
        self._missed_tasks = 0

    def miss(self, outcomes: int) -> None:
        """Leave out an event that does not fit in, with the outcomes of so many tasks."""
        self.missed += 1
        self._missed_tasks += outcomes

    def say_missed(self, at: float) -> None:
        """Append an event that says what was left out."""
        from .._plugins.events import EventsMissed

        missed, self.missed = self.missed, 0
        tasks, self._missed_tasks = self._missed_tasks, 0
        self.events.append(EventsMissed(at, missed, tasks))

    def run(self) -> None:
        """Call the observer until all is told, or it fails."""
        self.thread = threading.get_ident()
        while events := self._next():
            self.called_at = time.monotonic()
            is_well = self._call(events)
            self.called_at = None
            if not is_well:
                return
            self._is_closing.wait(_PAUSE_S)

    def _next(self) -> Sequence[Event]:
        """Wait for events and return them; none at the end."""
        with self.changed:
            while not self.events and not self._is_closing.is_set():
                self.changed.wait()
            if self.missed:
                self.say_missed(time.monotonic())
            events, self.events = self.events, []
            self.queued = 0
            return events

    def _call(self, events: Sequence[Event]) -> bool:
        """Call the observer; return whether it may be called again."""
        try:
            self._observe(events=events)
        except (OSError, Error) as problem:  # such as a full disk; a traceback says no more
            text = "observer %s failed, and is not called again; the run goes on: %s"
            _logger.error(text, self.name, printable(str(problem)))  # noqa: TRY400 - as said above
        except BaseException:  # a plugin's
            _logger.exception("observer %s failed, and is not called again", self.name)
        else:
            return True
        return False
