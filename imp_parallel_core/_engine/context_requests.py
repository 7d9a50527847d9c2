"""What the user's threads want of a context, asked of the engine's thread, which does it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Literal

from .inbox import Inbox

if TYPE_CHECKING:
    from .._loop import Loop
    from .._scheduler.actions import Action
    from .._scheduler.scheduler import Scheduler
    from .._scheduler.tasks import Task
    from .progress import Progress
    from .readers import Readers
    from .served_context import ServedContext

Cancelled = Literal["forgotten", "ended", "late"]
"""What became of a task that was cancelled."""

_MAKE_WAY_EVERY = 128  # tasks


class ContextRequests:
    """Asks the engine for what the user's threads want of one context.

    What returns something waits for the engine; if that has ended, nothing is done.

    Args:
        context: the context. It gets an inbox.
        loop: the engine's.
        scheduler: knows the context's tasks; it may be asked in the engine's thread only.
        perform: performs the scheduler's actions.
        readers: serves inboxes.
        check_reader: called every second while a thread waits; raises if the engine has ended.
    """

    def __init__(
        self,
        context: ServedContext,
        loop: Loop[Task],
        scheduler: Scheduler,
        perform: Callable[[list[Action]], None],
        readers: Readers,
        check_reader: Callable[[], None],
    ) -> None:
        self._context = context
        self._loop = loop
        self._scheduler = scheduler
        self._perform = perform
        self._readers = readers
        self._check_reader = check_reader
        self._posted = 0
        self._map_numbers = count(1)
        self._renewing = threading.Lock()
        context.inbox = self._open_inbox()

    def add_task(self, task: Task) -> None:
        """Take a task of the context, and give the task its number.

        A task that has a number has been taken, whatever a Ctrl-C may have interrupted.
        """
        self._loop.post_quietly(task.inbox.numbering(task))
        self._posted += 1
        if self._posted % _MAKE_WAY_EVERY == 0:
            self._loop.make_way()

    # ---- inboxes

    def open_map_inbox(self) -> tuple[Inbox, Callable[[], None]]:
        """Return an inbox for a map, and the function that forgets its tasks.

        The function does not refer to this object, so that it can be a finalizer.
        """
        inbox = self._open_inbox(map=next(self._map_numbers))
        return inbox, partial(_forget, self._loop, self._readers, self._context, inbox)

    def renew_inbox(self) -> None:
        """Forget the tasks that are not a map's; those to come have a new inbox."""
        context = self._context
        with self._renewing:
            new = self._open_inbox()
            context.superseded.append(context.inbox)
            context.inbox = new
            self._map_numbers = count(1)
            # should a Ctrl-C come before this, it is done when the next reader waits
            self._loop.post(lambda: self._readers.forget_superseded(context))

    def _open_inbox(self, *, map: int = 0) -> Inbox:
        context, post = self._context, self._loop.post
        inbox = Inbox(
            ask=lambda waiter: post(lambda: self._readers.wait(context, inbox, waiter)),
            nudge=lambda: post(lambda: self._readers.count_read(context)),
            check=self._check_reader,
            nudge_every=self._scheduler.policy.credit_portion,
            map=map,
        )
        post(lambda: self._readers.inbox_opened(context, inbox))
        return inbox

    # ---- what becomes of tasks

    def cancel(self, inbox: Inbox, number: int) -> Cancelled:
        """Cancel the task that has this number in an inbox; return what has been done."""

        def cancel() -> Cancelled:
            task = self._scheduler.unfinished_task(self._context.id, inbox, number)
            if task is None:
                return "late"
            is_begun = self._scheduler.is_begun(task)
            self._cancel_now([task])
            return "ended" if is_begun else "forgotten"

        return self._loop.ask(cancel) or "late"

    def cancel_tasks(self, tasks: Iterable[Task]) -> list[Task]:
        """Cancel those of some tasks that have no outcome; return these."""
        return self._cancel_some(lambda: [task for task in tasks if not task.done])

    def cancel_waiting_tasks(self) -> list[Task]:
        """Cancel the tasks that no slave is at, and that are not a map's; return these."""
        id, inbox = self._context.id, self._context.inbox
        return self._cancel_some(lambda: self._scheduler.waiting_tasks(id, inbox))

    def _cancel_some(self, choose: Callable[[], list[Task]]) -> list[Task]:
        def cancel() -> list[Task]:
            tasks = choose()
            self._cancel_now(tasks)
            return tasks

        return self._loop.ask(cancel) or []

    def _cancel_now(self, tasks: list[Task]) -> None:
        now = time.monotonic()
        self._perform(self._scheduler.tasks_cancelled(self._context.id, tasks, now))

    def is_begun(self, task: Task) -> bool:
        """Return whether a slave is at a task."""
        return bool(self._loop.ask(lambda: self._scheduler.is_begun(task)))

    def progress(self) -> Progress | None:
        """Return how far the tasks are; None if the engine has ended."""

        def tell() -> Progress:
            from .progress import progress_of  # most runs never ask

            return progress_of(self._context, self._scheduler)

        return self._loop.ask(tell)


def _forget(loop: Loop[Task], readers: Readers, context: ServedContext, inbox: Inbox) -> None:
    """Forget the tasks whose outcomes would go to an inbox: nobody will read them."""
    loop.post(lambda: readers.forget(context, inbox))
