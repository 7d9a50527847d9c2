"""Where the engine puts a context's outcomes, and the user's threads wait for them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from ._actions import Outcome, OutcomeKind, Task
from ._errors import Error

_REPORT_EVERY = 64  # outcomes read; credit is given back in such portions


class Delivery(NamedTuple):
    """A task's outcome on its way to the user."""

    number: int
    """The task's place in the order of adding, from 0."""
    outcome: Outcome
    task: Task | None
    """The task itself, unless all went well."""


class Waiter:
    """One thread that waits, as the engine sees it."""

    error: Error | None = None


class Inbox:
    """The outcomes of one context.

    Args:
        ask: tells the engine that a reader is about to wait, so that it lets the oldest task go
            on without credit, or says if waiting is hopeless.
        report: tells the engine how many outcomes, of how many bytes, were read; also that a
            reader waits no more.
    """

    def __init__(self, ask: Callable[[Waiter], None], report: Callable[[int, int], None]) -> None:
        self._ask = ask
        self._report = report
        self._changed = threading.Condition(threading.Lock())
        self._arrived: deque[Delivery] = deque()
        self._early: dict[int, Delivery] = {}  # arrived before their turn, for ordered reading
        self._ahead: set[int] = set()  # taken before their turn, by unordered reading
        self._next = 0  # all before this one have been taken
        self._added = 0
        self._put = 0  # counted by the engine alone, which no Ctrl-C can interrupt half-way
        self._read = 0
        self._read_bytes = 0
        self._error: Error | None = None
        self.waiters: set[Waiter] = set()
        """Threads that wait now; the engine gives them an error if there is no hope."""

    # ---- the engine's side

    def put(self, task: Task, number: int, outcome: Outcome) -> None:
        """Add an outcome; :meth:`wake` makes it known."""
        is_value = outcome.kind is OutcomeKind.VALUE
        self._arrived.append(Delivery(number, outcome, None if is_value else task))
        self._put += 1

    def wake(self) -> None:
        """Wake whoever waits."""
        if self.waiters:
            with self._changed:
                self._changed.notify_all()

    def close(self, error: Error) -> None:
        """No outcome will come any more: whoever waits, or comes to wait, gets an error."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    # ---- the user's side

    def count_added(self) -> int:
        """Count a task that is about to be added; return its number."""
        with self._changed:
            self._added += 1
            return self._added - 1

    def take(self, *, in_order: bool = False) -> Delivery | None:
        """Return the next outcome, waiting for it; None if no task is without one.

        Raises the error that the engine gives when waiting is hopeless.
        """
        with self._changed:
            waiter: Waiter | None = None
            try:
                while True:
                    is_complete = self._put == self._added  # asked first: the last may just come
                    delivery = self._next_in_order() if in_order else self._next_arrived()
                    if delivery is not None:
                        return self._count_taken(delivery)
                    if is_complete:
                        return None
                    if self._error is not None:
                        raise self._error
                    if waiter is None:
                        self._report_read()
                        waiter = Waiter()
                        self.waiters.add(waiter)
                        self._ask(waiter)
                    elif waiter.error is not None:
                        raise waiter.error
                    else:
                        self._changed.wait()
            finally:
                if waiter is not None:
                    self.waiters.discard(waiter)
                    self._report_read(has_waited=True)

    def _next_arrived(self) -> Delivery | None:
        if self._early:
            return self._early.pop(next(iter(self._early)))
        return self._arrived.popleft() if self._arrived else None

    def _next_in_order(self) -> Delivery | None:
        while self._arrived:
            delivery = self._arrived.popleft()
            self._early[delivery.number] = delivery
        if self._put == self._added and self._early and self._next not in self._early:
            self._next = min(self._early)  # a reader was interrupted with a result in its hands
        return self._early.pop(self._next, None)

    def _count_taken(self, delivery: Delivery) -> Delivery:
        if delivery.number == self._next:
            self._next += 1
            while self._next in self._ahead:
                self._ahead.discard(self._next)
                self._next += 1
        else:
            self._ahead.add(delivery.number)
        self._read += 1
        self._read_bytes += delivery.outcome.size_bytes
        if self._read >= _REPORT_EVERY:
            self._report_read()
        if self._put == self._added and not self._arrived:
            self._changed.notify_all()  # other readers have nothing left to wait for
        return delivery

    def _report_read(self, *, has_waited: bool = False) -> None:
        if self._read or has_waited:
            self._report(self._read, self._read_bytes)
            self._read = self._read_bytes = 0
