"""Tasks that the user cancels: each has that as its outcome, and its attempts are ended."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import attrgetter

from .._light_typing import Any
from .board import Board
from .contexts import ContextState
from .outcomes import finish
from .tasks import NO_SLAVE, Outcome, OutcomeKind, Task

_CANCELLED = Outcome(OutcomeKind.CANCELLED, (), NO_SLAVE)
_id_of = attrgetter("id")


def find(board: Board, context: ContextState, inbox: Any, number: int) -> Task | None:
    """Return the task that has this number in its inbox, None if it has its outcome."""
    # an inbox gives its numbers in the order of ids, and none is larger than the id
    first = _place(context, number)
    waiting = chain(islice(context.fresh, first, None), islice(context.fresh, first))
    for task in chain(waiting, context.retry.values(), _held(board)):
        if task.number == number and task.inbox is inbox and not task.done:
            return task
    return None


def is_begun(board: Board, task: Task) -> bool:
    """Whether a slave is at a task, as far as is known."""
    return any(board.slaves[slave].running is task for slave in task.slaves)


def waiting(board: Board, context: ContextState, inbox: Any) -> list[Task]:
    """Return the tasks without an outcome, of this inbox, that no slave is at."""
    everywhere = chain(context.fresh, context.retry.values(), _held(board))
    found = {task.id: task for task in everywhere if task.inbox is inbox and not task.done}
    return [task for task in found.values() if not is_begun(board, task)]


def cancel(board: Board, context: ContextState, tasks: Sequence[Task]) -> None:
    """Deliver that these tasks of a context were cancelled, unless they have their outcomes."""
    tasks = [task for task in tasks if not task.done]
    fresh = [task for task in tasks if not task.slaves and task.id not in context.retry]
    _take_out(context, fresh)
    context.running += len(fresh)
    for task in tasks:
        finish(board, context, task, _CANCELLED)


def _held(board: Board) -> Iterator[Task]:
    """Yield all tasks that slaves have."""
    for slave in board.slaves.values():
        for what in slave.items.values():
            if isinstance(what, Task):
                yield what


def _take_out(context: ContextState, tasks: Iterable[Task]) -> None:
    """Take tasks that have never been started out of their queue."""
    waiting = context.fresh
    if len(ids := {task.id for task in tasks}) > 1:
        kept = [task for task in waiting if task.id not in ids]
        waiting.clear()
        waiting.extend(kept)
        return
    for task in tasks:
        place = _place(context, task.id)
        if place < len(waiting) and waiting[place] is task:
            del waiting[place]
        else:  # several threads have added tasks, and ids are not in order
            waiting.remove(task)


def _place(context: ContextState, id: int) -> int:
    """Return the place in the queue of the first task with this id or a larger one."""
    return bisect_left(context.fresh, id, key=_id_of)
