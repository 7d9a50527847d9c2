"""How tasks and set-ups end; also tasks that the user has forgotten, or whose context is closed."""

from __future__ import annotations

from collections.abc import Callable

from .actions import CloseContext, Deliver, EndAttempt, TooManyFailures
from .board import Board
from .contexts import ContextState
from .health import trust
from .slaves import Phase, ScheduledSlave, SetupItem
from .tasks import FAILURES, Ended, Outcome, OutcomeKind, Task


def items_ended(board: Board, slave: ScheduledSlave, ended: Ended, now: float) -> None:
    """A slave has written the outcomes of items."""
    held = len(slave.items)
    has_worked = False
    for item, outcome, duration_s in zip(*ended[:3], strict=True):
        what = slave.items.pop(item, None)
        if what is None:
            continue  # of an attempt that has been given up already
        if isinstance(what, SetupItem):
            _setup_ended(board, slave, what, outcome)
        else:
            _task_ended(board, slave, what, outcome, duration_s)
            has_worked = True
    if has_worked:
        slave.tasks_run += held - len(slave.items)  # a set-up never comes with tasks
        if slave.relaunches:
            _note_worth(board, slave, now)
    if len(slave.items) != held:
        board.note_progress(slave, now)
        if what is not None:
            slave.last_ended = item
        if slave.fruitless and isinstance(what, Task):
            slave.fruitless = 0
    board.settle(slave)


def _task_ended(
    board: Board, slave: ScheduledSlave, task: Task, outcome: Outcome, duration_s: float
) -> None:
    """A slave has written a task's outcome."""
    if not slave.is_trusted:
        trust(slave)
    context = board.contexts.get(task.context)
    if context is None:
        let_go(slave, task)
        return
    has_failed = outcome.kind is not OutcomeKind.VALUE
    if has_failed and _is_excused(board, slave):
        cause = f"on slave {slave.id}, it raised an exception after the slave had been warned"
        if _try_elsewhere(board, context, slave, task, cause):
            return
    context.note_duration(duration_s)
    if has_failed or task.done or len(task.slaves) != 1:
        let_go(slave, task)
        finish(board, context, task, outcome)
        return
    # Nearly always it is a value, and only this slave has the task. This does what the two calls
    # above do then.
    task.slaves = ()
    task.done = True
    context.running -= 1
    context.unread += 1
    context.unread_bytes += outcome.size_bytes
    # Deliver's own __new__ takes twice as long
    board.actions.append(tuple.__new__(Deliver, (task, outcome)))
    if context.retry:
        context.retry.pop(task.id, None)
    if board.deaths:
        board.deaths.pop((task.context, task.id), None)


def _is_excused(board: Board, slave: ScheduledSlave) -> bool:
    """Whether what fails on a slave may work on another.

    A batch system warns a slave by signals that reach what a task has started too: a program ends
    by them, and the task raises an exception. (Of slaves that are away, only those have outcomes
    that have been warned.)
    """
    return (slave.is_leaving or slave.is_away) and any(
        other is not slave and other.phase is not Phase.GONE and not other.is_leaving
        for other in board.slaves.values()
    )


def _try_elsewhere(
    board: Board, context: ContextState, slave: ScheduledSlave, task: Task, cause: str
) -> bool:
    """Try a task again that is not to blame for its end; return False if it has no attempt left.

    The attempt counts, as one that is lost with its runner.
    """
    if task.done or len(task.history) + 1 >= context.max_attempts:
        return False
    let_go(slave, task)
    task.history += (cause,)
    queue_again(board, context, task)
    return True


def queue_again(board: Board, context: ContextState, task: Task) -> None:
    """Put a task in front of its queue, unless it has ended or a slave that is heard has it."""
    if task.done:
        return
    if context.is_stopped:
        task.done = True
        context.running -= 1
    elif all(board.slaves[id].is_suspected for id in task.slaves):
        context.queue_again(task)


def _note_worth(board: Board, slave: ScheduledSlave, now: float) -> None:
    """A slave has ended a task: if it has worked for long, its earlier losses count no more."""
    if slave.ready_since is not None and now - slave.ready_since >= board.policy.worth_s:
        slave.relaunches = 0


def _setup_ended(board: Board, slave: ScheduledSlave, item: SetupItem, outcome: Outcome) -> None:
    """A slave has written how a set-up ended."""
    context = board.contexts.get(item.context)
    if context is None:
        board.actions.append(CloseContext(slave.id, item.context))
    elif outcome.kind is OutcomeKind.VALUE:
        slave.contexts.add(item.context)
        context.note_setup_managed(slave.id)
    elif _is_excused(board, slave):
        judge_setup(board, context)
    else:
        setup_failed(board, slave, context, outcome, is_loss=False)
        if context.id not in slave.excluded:
            board.renew_runner(slave)  # it may work in another process, as it has before


def close_context(board: Board, context: int) -> None:
    """Forget a context that has been closed, with all that is known of its tasks."""
    for key in [key for key in board.deaths if key[0] == context]:
        del board.deaths[key]
    for slave in board.slaves.values():
        if slave.serves == context:
            slave.serves = None
        if slave.phase is Phase.READY:
            _withdraw(board, slave, context)
        slave.excluded.discard(context)
        slave.kept.drop_context(context)


def _withdraw(board: Board, slave: ScheduledSlave, context: int) -> None:
    """Have a slave drop a closed context: its items, its values, what a failed set-up has left."""
    for item, what in slave.items.items():
        if what.context == context:
            if isinstance(what, Task):
                what.done = True
            end_attempt(board, slave, item)
    if context in slave.contexts or context in slave.excluded:
        slave.contexts.discard(context)
        board.actions.append(CloseContext(slave.id, context))


def forget(board: Board, context: ContextState, are_forgotten: Callable[[Task], bool]) -> None:
    """Take tasks out of the queues, and back from slaves that have not begun them."""
    kept = [task for task in context.fresh if not are_forgotten(task)]
    context.fresh.clear()
    context.fresh.extend(kept)
    for task in list(context.retry.values()):
        if are_forgotten(task):
            del context.retry[task.id]
            board.deaths.pop((task.context, task.id), None)
            task.done = task.is_forgotten = True
            context.running -= 1
    for slave in board.slaves.values():
        begun = next(iter(slave.items), 0)
        for item, what in slave.items.items():
            if isinstance(what, Task) and what.context == context.id and are_forgotten(what):
                context.running -= not what.done
                what.done = what.is_forgotten = True
                if item != begun and not slave.is_suspected:  # otherwise when it is heard will do
                    board.take_back(slave)


def judge_setup(board: Board, context: ContextState) -> None:
    """Give a context's tasks up if no slave has managed its set-up, and none will.

    It has failed on ``max_attempts`` slaves (or these were lost in it so often), and no other is at
    it; or it has failed on every slave that is left or to come.
    """
    if context.last_setup_failure is None or context.is_stopped:
        return
    if context.is_doubtful and not _is_tried(board, context):
        context.is_broken = True
    failed = sum(board.slaves[id].phase is not Phase.GONE for id in context.setup_failures)
    # with no slave at all it is for NoMoreSlavesError to say: another one may be added
    if not context.is_broken and not 0 < failed == board.alive:
        return
    context.running += len(context.fresh)
    for task in context.fresh:
        context.retry[task.id] = task
    context.fresh.clear()
    for task in list(context.retry.values()):
        finish(board, context, task, context.last_setup_failure)


def _is_tried(board: Board, context: ContextState) -> bool:
    """Whether a slave that is heard is at a context's set-up."""
    item = SetupItem(context.id)
    return any(
        item in slave.items.values() for slave in board.slaves.values() if not slave.is_suspected
    )


def setup_failed(
    board: Board,
    slave: ScheduledSlave,
    context: ContextState,
    outcome: Outcome,
    *,
    is_loss: bool,
) -> None:
    """A set-up has failed on a slave; ``is_loss`` if the whole slave was lost in it."""
    outcome = outcome._replace(kind=OutcomeKind.SETUP_FAILED)
    if context.note_setup_failed(slave.id, outcome, is_loss=is_loss):
        slave.excluded.add(context.id)
    judge_setup(board, context)


def let_go(slave: ScheduledSlave, task: Task) -> None:
    """Take note that a slave does not have a task any more."""
    if len(task.slaves) <= 1:  # nearly always
        task.slaves = ()
    else:
        task.slaves = tuple(id for id in task.slaves if id != slave.id)


def finish(board: Board, context: ContextState, task: Task, outcome: Outcome) -> None:
    """Deliver a task's outcome, unless it has one; end its other attempts."""
    if task.done:
        return
    task.done = True
    if context.retry:
        context.retry.pop(task.id, None)
    if board.deaths:
        board.deaths.pop((task.context, task.id), None)
    context.running -= 1
    context.unread += 1
    context.unread_bytes += outcome.size_bytes
    board.actions.append(Deliver(task, outcome))
    for id in task.slaves:
        slave = board.slaves[id]
        if not slave.is_suspected:  # otherwise when it is heard will do
            item = next(item for item, what in slave.items.items() if what is task)
            end_attempt(board, slave, item)
    if outcome.kind in FAILURES:
        context.failures += 1
        if context.failures == context.max_failures:
            _stop(board, context)


def _stop(board: Board, context: ContextState) -> None:
    """End all tasks of a context: too many have failed."""
    context.is_stopped = True
    board.actions.append(TooManyFailures(context.id))
    forget(board, context, lambda task: True)
    for slave in board.slaves.values():
        begun = next(iter(slave.items), 0)
        for item, what in slave.items.items():
            if isinstance(what, Task) and what.context == context.id:
                what.is_forgotten = False  # so that it is ended also if it begins before it is back
                if item == begun and not slave.is_suspected:
                    end_attempt(board, slave, item)


def end_attempt(board: Board, slave: ScheduledSlave, item: int) -> None:
    """Free a slave from an item that nobody needs any more."""
    if item == next(iter(slave.items)):
        slave.unneeded = item
        board.actions.append(EndAttempt(slave.id, item))
    else:
        board.take_back(slave)
