"""Tells observers what happens, in a thread of their own: they never delay or disturb a run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from .._errors import Error
from .._printable import printable

if TYPE_CHECKING:
    from .._plugins.events import Event

_logger = logging.getLogger("imp_parallel.observers")
_QUEUE_LIMIT = 100_000  # events, and tasks in them
_PAUSE_S = 0.05  # between two calls: to wake another thread for each event costs more than the rest
_CLOSE_S = 2.0


class Observers:
    """The observers of one Manager.

    Args:
        observers: what to call with lists of events, each with the name of who brought it.
    """

    def __init__(self, observers: Iterable[tuple[str, Callable[..., None]]]) -> None:
        self._observers = list(observers)
        self._events: list[Event] = []
        self._queued = 0  # how many events these are, and tasks in them
        self._missed = self._missed_tasks = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread: threading.Thread | None = None
        if self._observers:
            self._thread = threading.Thread(
                target=self._deliver, name="imp_parallel observers", daemon=True
            )
            self._thread.start()

    def __bool__(self) -> bool:
        """Whether anybody listens; if not, events need not even be made."""
        return bool(self._observers)

    def tell(self, event: Event, tasks: int = 0, outcomes: int = 0) -> None:
        """Pass an event on. Called by the engine; never waits.

        Args:
            event: the event.
            tasks: for how many tasks it has entries.
            outcomes: how many tasks' outcomes are in it.
        """
        with self._changed:
            if self._queued >= _QUEUE_LIMIT:
                self._missed += 1
                self._missed_tasks += outcomes
                return
            if self._missed:
                self._events.append(self._say_missed(event.at))
            if not self._events:
                self._changed.notify()
            self._events.append(event)
            self._queued += 1 + tasks

    def close(self) -> None:
        """Deliver what is queued, within two seconds, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S)

    def _deliver(self) -> None:
        while True:
            with self._changed:
                while not self._events and not self._is_closing:
                    self._changed.wait()
                events, self._events = self._events, []
                self._queued = 0
                if self._missed:
                    events.append(self._say_missed(time.monotonic()))
            if not events:
                return
            self._call(events)
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, _PAUSE_S)

    def _say_missed(self, at: float) -> Event:
        from .._plugins.events import EventsMissed

        missed, self._missed = self._missed, 0
        tasks, self._missed_tasks = self._missed_tasks, 0
        return EventsMissed(at, missed, tasks)

    def _call(self, events: Sequence[Event]) -> None:
        for name, observe in list(self._observers):
            try:
                observe(events=events)
            except (OSError, Error) as problem:  # such as a full disk; a traceback says no more
                text = "observer %s failed, and is not called again; the run goes on: %s"
                _logger.error(text, name, printable(str(problem)))  # noqa: TRY400 - as said above
                self._observers.remove((name, observe))
            except BaseException:  # a plugin's
                _logger.exception("observer %s failed, and is not called again", name)
                self._observers.remove((name, observe))
