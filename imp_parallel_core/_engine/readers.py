"""The user's threads that read: what they wait for, what they have read, what they drop."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .._errors import ClosedError, Error
from .._fleet.withdrawals import Demand
from .._scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from .._fleet.fleet import Fleet
    from .inbox import Inbox
    from .performer import Performer
    from .served_context import ServedContext
    from .waiter import Waiter

_CONTEXT_CLOSED = "this Context has been closed"


class Readers:
    """Serves those who read outcomes, in the engine's thread.

    Args:
        scheduler: what to tell of them.
        performer: performs the scheduler's actions, and delivers outcomes to inboxes.
        fleet: knows why no slave is left, when those who wait are to be told.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        performer: Performer,
        fleet: Fleet,
    ) -> None:
        self._scheduler = scheduler
        self._perform = performer.perform
        self._contexts = performer.contexts
        self._delivered_to = performer.delivered_to
        self._fleet = fleet
        self._read_at = float("-inf")  # when a reader last came, or took something
        self._ended_with: Error | None = None
        self._are_left = False

    def end(self, error: Error, *, leaves_them: bool) -> None:
        """Leave nobody waiting, unless those who wait are to be left where they are."""
        self._ended_with = error
        self._are_left = leaves_them
        if not leaves_them:
            for inbox in self._inboxes():
                inbox.close(error)

    def inbox_opened(self, context: ServedContext, inbox: Inbox) -> None:
        """Serve an inbox, unless its context, or all, has been closed in the meantime."""
        context.inboxes.add(inbox)
        if self._are_left:
            return
        if self._ended_with is not None:
            inbox.close(self._ended_with)
        elif context.id not in self._contexts:
            inbox.close(ClosedError(_CONTEXT_CLOSED))
        elif context.is_stopped:
            inbox.stop()

    def wait(self, context: ServedContext, inbox: Inbox, waiter: Waiter) -> None:
        """Answer a reader's question now, or when there is an answer."""
        if self._are_left:
            return
        if context.superseded:
            self.forget_superseded(context)
        self.count_read(context)
        if not inbox.wait(waiter):
            return
        if self._scheduler.has_hope:
            self._perform(self._scheduler.reader_waits(context.id, time.monotonic()))
        else:
            self._give_up([inbox])

    def tell(self) -> None:
        """Answer the readers for whom outcomes have come."""
        while self._delivered_to:
            inbox, context = self._delivered_to.popitem()
            if inbox.has_waiters:
                inbox.answer_waiters()
                self.count_read(context)

    def count_read(self, context: ServedContext) -> None:
        """Give the scheduler back the credit of what has been read."""
        self._read_at = now = time.monotonic()
        has_waiters, outcomes, size_bytes = False, 0, 0
        for inbox in context.inboxes:
            has_waiters |= inbox.has_waiters
            counts = inbox.count_read()
            outcomes += counts[0]
            size_bytes += counts[1]
        self._perform(self._scheduler.outcomes_read(context.id, outcomes, size_bytes, now))
        if has_waiters:  # some wait all the same
            self._perform(self._scheduler.reader_waits(context.id, now))

    def forget(self, context: ServedContext, inbox: Inbox) -> None:
        """Forget the tasks whose outcomes would go to an inbox: nobody will read them."""
        now = time.monotonic()
        context.forgotten += inbox.without_outcome
        self._perform(
            self._scheduler.tasks_forgotten(context.id, lambda task: task.inbox is inbox, now)
        )
        inbox.close(ClosedError("this iterator has been closed, or its context cleared"))
        self.count_read(context)
        context.inboxes.discard(inbox)

    def forget_superseded(self, context: ServedContext) -> None:
        """Forget the inboxes in whose place new ones have come."""
        superseded = context.superseded
        for _ in range(len(superseded)):
            inbox = superseded.popleft()
            if inbox is context.inbox:  # it is being superseded, or a Ctrl-C has prevented that
                superseded.append(inbox)
            else:
                self.forget(context, inbox)
                self._forget_failures(context)

    def _forget_failures(self, context: ServedContext) -> None:
        if context.options.max_failures and context.inbox not in context.superseded:
            context.failures = []
            context.is_stopped = False
            context.inbox.go_on()
            self._perform(self._scheduler.failures_forgotten(context.id, time.monotonic()))

    def _inboxes(self) -> Iterator[Inbox]:
        for context in self._contexts.values():
            yield from context.inboxes

    def demand(self) -> Demand:
        """Return what is left to do."""
        is_awaited = any(inbox.has_waiters for inbox in self._inboxes())
        read_at = time.monotonic() if is_awaited else self._read_at
        return Demand(self._scheduler.unfinished_tasks(), read_at)

    def give_up_if_hopeless(self) -> None:
        """Tell all that wait, if no slave is left that could bring what they wait for."""
        if not self._scheduler.has_hope:
            self._give_up(self._inboxes())

    def _give_up(self, inboxes: Iterable[Inbox]) -> None:
        """Tell those that wait at inboxes that no slave is left, and why; none may wait there."""
        inboxes = [inbox for inbox in inboxes if inbox.has_waiters]
        if inboxes:
            error = self._fleet.hopeless_error()
            is_given = [inbox.give_up(error) for inbox in inboxes]
            if any(is_given):
                self._fleet.error_given()

    def context_closed(self, id: int) -> None:
        """Forget a context, its tasks and its values."""
        context = self._contexts.pop(id, None)
        if context is not None:
            for inbox in context.inboxes:
                inbox.close(ClosedError(_CONTEXT_CLOSED))
            self._perform(self._scheduler.context_closed(id, time.monotonic()))
            context.forget_code()
