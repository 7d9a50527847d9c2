"""Slaves and runners that are lost, or may be: their tasks are tried elsewhere."""

from __future__ import annotations

from . import patience
from .actions import NextRunner, Relaunch
from .board import Board
from .health import note_death
from .outcomes import end_attempt, finish, judge_setup, let_go, queue_again, setup_failed
from .slaves import Phase, ScheduledSlave, SetupItem
from .tasks import Outcome, OutcomeKind, Task


def lose_runner(
    board: Board,
    slave: ScheduledSlave,
    charged: int,
    cause: str,
    now: float,
    exceeded_bytes: int = 0,
) -> None:
    """A slave's runner has died, perhaps for its memory; its supervisor starts another."""
    items, has_run_others = slave.items, slave.tasks_run > 0
    slave.phase = Phase.STARTING
    patience.note_runner_lost(board, slave, charged)
    slave.forget_runner()
    board.settle(slave)
    board.actions.append(NextRunner(slave.id))
    if slave.is_leaving and not exceeded_bytes:
        charged = 0
    exceeded = None
    if exceeded_bytes:
        exceeded = Outcome(OutcomeKind.MEMORY_EXCEEDED, (cause,), slave.id, 0, exceeded_bytes)
    _hand_back(
        board, slave, items, charged, cause, now, exceeded=exceeded, has_run_others=has_run_others
    )


def lose_slave(
    board: Board, slave: ScheduledSlave, *, is_charged: bool, cause: str, now: float
) -> None:
    """A slave has gone with its supervisor: launch it again, or forget it."""
    items = slave.items
    charged = next(iter(items), 0) if is_charged and not slave.is_leaving else 0
    if slave.can_return and slave.relaunches < board.policy.max_relaunches:
        slave.relaunches += 1
        slave.ready_since = None
        slave.phase = Phase.STARTING
        board.actions.append(Relaunch(slave.id))
    else:
        board.forget_slave(slave)
    slave.forget_runner()
    slave.forget_connection()
    board.settle(slave)
    _hand_back(board, slave, items, charged, cause, now, is_loss=True)
    judge_setups(board)


def restart(board: Board, slave: ScheduledSlave, cause: str, now: float) -> None:
    """A slave's batch system has started it anew, without any of its items."""
    items = slave.items
    slave.phase = Phase.STARTING
    slave.forget_runner()
    slave.forget_connection()
    board.settle(slave)
    _hand_back(board, slave, items, 0, cause, now)


def return_items(board: Board, slave: ScheduledSlave, items: list[int], now: float) -> bool:
    """A slave has handed back items; return whether it may be given others at once."""
    may_be_refilled = patience.note_return(board, slave, items)
    returned = {item: slave.items.pop(item) for item in items if item in slave.items}
    _hand_back(board, slave, returned, 0, "", now)
    _go_on(board, slave)
    board.settle(slave)
    return may_be_refilled


def suspect(board: Board, slave: ScheduledSlave) -> None:
    """A slave has not been heard for too long: let its tasks begin elsewhere too."""
    slave.is_suspected = True
    board.settle(slave)
    for what in reversed(slave.items.values()):
        context = board.contexts.get(what.context)
        if isinstance(what, Task) and context is not None:
            queue_again(board, context, what)
    judge_setups(board)


def trust_again(board: Board, slave: ScheduledSlave) -> None:
    """A suspected slave is heard again: it goes on where it was."""
    slave.is_suspected = False
    _go_on(board, slave)
    board.settle(slave)


def judge_setups(board: Board) -> None:
    """Give up each context whose set-up no slave has managed or will manage."""
    for context in list(board.contexts.values()):
        judge_setup(board, context)


def _hand_back(
    board: Board,
    slave: ScheduledSlave,
    items: dict[int, Task | SetupItem],
    charged: int,
    cause: str,
    now: float,
    *,
    is_loss: bool = False,
    exceeded: Outcome | None = None,
    has_run_others: bool = False,
) -> None:
    """Put items that a slave no longer has back into their queues; charge the one to blame.

    Args:
        board: the board.
        slave: the slave that had them.
        items: by number, in the order in which they were sent.
        charged: the one to blame; 0 for none.
        cause: for its history.
        now: when it is known.
        is_loss: the whole slave was lost.
        exceeded: the outcome of the one to blame, if its runner was ended for its memory.
        has_run_others: whether that runner had run other tasks before.
    """
    for item, what in reversed(items.items()):
        if isinstance(what, Task):
            let_go(slave, what)
        context = board.contexts.get(what.context)
        if context is None:
            continue  # closed: nobody waits for it
        if isinstance(what, SetupItem):
            if item == charged:
                failure = Outcome(OutcomeKind.SETUP_FAILED, (cause,), slave.id)
                setup_failed(board, slave, context, failure, is_loss=is_loss)
            elif context.is_doubtful:
                judge_setup(board, context)
            continue
        if item == charged and not what.done:
            is_first = not what.history
            what.history += (cause,)
            if exceeded is not None:  # which is no mark against the slave
                if is_first and has_run_others and context.max_attempts > 1:
                    queue_again(board, context, what)  # what those have left may have been too much
                else:
                    finish(board, context, what, exceeded)
                continue
            if len(what.history) >= context.max_attempts:
                lost = Outcome(OutcomeKind.LOST, what.history, slave.id)
                finish(board, context, what, lost)
            note_death(board, slave, context, what, now)
        queue_again(board, context, what)


def _go_on(board: Board, slave: ScheduledSlave) -> None:
    """A slave keeps its items, but for tasks that have ended elsewhere in the meantime."""
    begun = next(iter(slave.items), 0)
    for item, what in slave.items.items():
        if not isinstance(what, Task) or (what.is_forgotten and item == begun):
            continue
        if what.done:
            end_attempt(board, slave, item)
        else:
            board.contexts[what.context].retry.pop(what.id, None)
