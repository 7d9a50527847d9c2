"""Tells observers what happens, each in a thread of its own: they never delay or disturb a run.

Nor do they delay each other: one that is slow or hangs misses events itself, and no other does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._plugins.events import Event
    from .observer import Observer

_logger = logging.getLogger("imp_parallel.observers")
_QUEUE_LIMIT = 100_000  # events, and tasks in them
_HANGING_S = 10.0
_CLOSE_S = 2.0


class Observers:
    """The observers of one Manager.

    Args:
        observers: what to call with lists of events, each with the name of who brought it.
    """

    def __init__(self, observers: Iterable[tuple[str, Callable[..., None]]]) -> None:
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._observers = [
            _observer(name, observe, self._lock, self._is_closing) for name, observe in observers
        ]
        self._told = self._observers  # those that have not failed
        for observer in self._observers:
            self._start(partial(self._run, observer), f" {observer.name}")
        if self._observers:
            self._start(self._watch, "s")

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
        with self._lock:
            for observer in self._told:
                if observer.queued >= _QUEUE_LIMIT and not _is_last(event):
                    observer.miss(outcomes)
                    continue
                if observer.missed:
                    observer.say_missed(event.at)
                if not observer.events:
                    observer.changed.notify()
                observer.events.append(event)
                observer.queued += 1 + tasks

    def close(self) -> None:
        """Let all observers take what is left, within two seconds in all; name those that do not.

        A KeyboardInterrupt is raised only afterwards, unless a second one comes.
        """
        self._is_closing.set()
        with self._lock:
            for observer in self._observers:
                observer.changed.notify()
        deadline = time.monotonic() + _CLOSE_S
        try:
            self._join(deadline)
        except KeyboardInterrupt:
            self._join(deadline)
            raise

    def _start(self, run: Callable[[], None], name: str) -> None:
        threading.Thread(target=run, name=f"imp_parallel observer{name}", daemon=True).start()

    def _run(self, observer: Observer) -> None:
        observer.run()
        observer.has_ended.set()
        with self._lock:
            self._told = [one for one in self._told if one is not observer]
            observer.events = []

    def _join(self, deadline: float) -> None:
        late = []
        for observer in self._observers:
            if observer.thread == threading.get_ident():
                continue  # it closes the Manager
            # a KeyboardInterrupt in Thread.join makes Python 3.11 take the thread for ended
            if not observer.has_ended.wait(max(deadline - time.monotonic(), 0.0)):
                late.append(observer.name)
        if late:
            text = "observers that may lack the end of the run, as they did not take it in %g s: %s"
            _logger.warning(text, _CLOSE_S, ", ".join(late))

    def _watch(self) -> None:
        """Name each observer that is in a call for too long, once."""
        named: set[Observer] = set()
        pause_s = _HANGING_S
        while not self._is_closing.wait(pause_s):
            now = time.monotonic()
            pause_s = _HANGING_S
            for observer in self._observers:
                called_at = observer.called_at
                if called_at is None or observer in named:
                    continue
                left_s = called_at + _HANGING_S - now
                if left_s > 0:
                    pause_s = min(pause_s, left_s)
                    continue
                named.add(observer)
                _logger.warning(
                    "observer %s has been in a call for %g s: it is told nothing more until that "
                    "returns, and misses events if that takes long. The run and other observers "
                    "go on.",
                    *(observer.name, _HANGING_S),
                )


def _observer(
    name: str, observe: Callable[..., None], lock: threading.Lock, is_closing: threading.Event
) -> Observer:
    from .observer import Observer  # most runs have none

    return Observer(name, observe, lock, is_closing)


def _is_last(event: Event) -> bool:
    """Whether this is the event that each observer is to get, however slow it is."""
    from .._plugins.events import RunEnded

    return isinstance(event, RunEnded)
