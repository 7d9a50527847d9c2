"""Giving out work, and taking it back for slaves that have none."""

from __future__ import annotations

from functools import partial

from . import health
from .actions import ForgetPart, KeepPart, SendSetup, SendTasks
from .board import Board
from .contexts import ContextState
from .slaves import ScheduledSlave, SetupItem
from .tasks import Task

_NEVER = float("inf")


def fill_idle(board: Board, now: float) -> None:
    """Give the idle slaves work, as long as there is work that they may take."""
    if len(board.idle) > 1 and not board.has_startable():
        return  # thousands of slaves may be idle: don't look at each of them
    for slave in list(board.idle.values()):
        fill(board, slave, now)
        if slave.id not in board.idle or slave.excluded:
            continue
        if not (board.deaths and board.has_startable()):  # else it is for others
            return  # no slave could take anything that is left


def fill(board: Board, slave: ScheduledSlave, now: float) -> None:
    """Send a slave as many tasks as it has room for, or the set-up that it needs first."""
    if not slave.takes_work or (slave.items and slave.is_setting_up):
        return
    context = _choose_context(board, slave, now)
    if context is None:
        board.settle(slave)
    elif 0 < context.max_tasks_per_runner <= slave.tasks_run:
        if not slave.items:
            board.renew_runner(slave)
    elif context.id in slave.contexts:
        _send_tasks(board, slave, context, now)
    elif not slave.items:  # a set-up is never sent ahead: it may take long
        _send_setup(board, slave, context, now)


def _choose_context(board: Board, slave: ScheduledSlave, now: float) -> ContextState | None:
    """Return the context with the fewest slaves; contexts with as many take turns."""
    best, best_key = None, (0, 0)
    for context in board.contexts.values():
        if context.id in slave.excluded or not context.has_startable(board.policy):
            continue
        if board.deaths and not health.has_any(board, slave, context, now):
            continue
        others = context.slaves - (slave.serves == context.id)
        key = (others, context.chosen_at)
        if best is None or key < best_key:
            best, best_key = context, key
    return best


def _send_setup(board: Board, slave: ScheduledSlave, context: ContextState, now: float) -> None:
    (item,) = board.next_items(1)
    slave.items[item] = SetupItem(context.id)
    board.note_progress(slave, now)
    board.serve(slave, context)
    board.actions.append(SendSetup(slave.id, item, context.id))
    board.settle(slave)


def _send_tasks(board: Board, slave: ScheduledSlave, context: ContextState, now: float) -> None:
    next_retry = partial(health.next_retry, board, slave, context, now) if board.deaths else None
    room = _room(board, slave, context)
    running = context.running
    tasks = context.next_tasks(room, board.policy, slave.kept, next_retry)
    if not tasks:
        return
    for part in slave.kept.take_missing():
        board.actions.append(KeepPart(slave.id, context.id, part))
    alone = (slave.id,)
    for task in tasks:
        task.slaves = task.slaves + alone if task.slaves else alone
    if not slave.items:
        board.note_progress(slave, now)
    given = list(zip(board.next_items(len(tasks)), tasks, strict=True))
    slave.items.update(given)
    board.serve(slave, context)
    are_fresh = context.running - running == len(tasks)
    board.actions.append(SendTasks(slave.id, given, are_fresh))
    for key in slave.kept.take_surplus():
        board.actions.append(ForgetPart(slave.id, *key))
    board.settle(slave)


def _room(board: Board, slave: ScheduledSlave, context: ContextState) -> int:
    """Return how many tasks of a context to send to a slave."""
    depth = context.depth
    room = depth - len(slave.items)
    if room > 1:  # when few tasks are left, the other slaves must get a share
        queued = len(context.fresh) + len(context.retry)
        share = queued // max(1, context.slaves + len(board.idle))
        room = min(room, max(share, context.worth_a_message))
    if slave.items and room * 2 < depth:
        return 0  # short tasks are topped up by halves, so that they travel together
    if context.max_tasks_per_runner:
        room = min(room, context.max_tasks_per_runner - slave.tasks_run - len(slave.items))
    return max(0, room)


def next_take_back(board: Board) -> float:
    """Return when a slave will have been at one item for too long, with an idle one to help."""
    if board.idle:
        for slave in board.backlogged.values():
            if _can_be_helped(board, slave):
                return max(slave.progress_at, board.asked_at) + board.policy.patience_s
    return _NEVER


def take_back_for_idle(board: Board, now: float) -> None:
    """See to it that no task waits behind a long one while another slave is idle.

    At most one slave is asked for each idle one. If their answers bring too few tasks, or do not
    come, the next tick asks again.
    """
    if next_take_back(board) > now:
        return
    latest = now - board.policy.patience_s
    asked: list[ScheduledSlave] = []
    for slave in board.backlogged.values():
        if slave.progress_at > latest or len(asked) >= len(board.idle):
            break
        if _can_be_helped(board, slave):
            asked.append(slave)
    for slave in asked:
        board.take_back(slave)
    if asked:
        board.asked_at = now


def _can_be_helped(board: Board, slave: ScheduledSlave) -> bool:
    """Whether an idle slave may run any task that waits on this one."""
    behind = list(slave.items.values())[1:]
    if board.deaths:  # a task that has died may wait for this slave, and not be for an idle one
        behind = [what for what in behind if not _has_died(board, what)]
    waiting = {what.context for what in behind}
    return any(board.may_run(idle, context) for context in waiting for idle in board.idle.values())


def _has_died(board: Board, what: Task | SetupItem) -> bool:
    return isinstance(what, Task) and (what.context, what.id) in board.deaths
