"""Which slaves tasks die on: a task is tried elsewhere next, a slave that kills all is set aside.

A task that dies may be to blame itself, or its slave may be. Only an attempt on another slave tells
which: so the next attempt is another slave's, if one can be expected to have time. A slave on which
several tasks have died, one after the other, while others work, gets nothing for a while. Then it
is tried again.
"""

from __future__ import annotations

from itertools import islice

from .actions import SetAside, TakeUp
from .board import Board, Death
from .contexts import ContextState
from .slaves import Phase, ScheduledSlave
from .tasks import Task

_LOOK_AT = 64  # how many retries are looked at to find one that a slave may take
_FEW_S = 300.0  # how long a task is taken to last while none of its context has ended
_GROWTH = 6  # a task waits so many times longer after each further death on the same slave
_NEVER = float("inf")


def note_death(
    board: Board, slave: ScheduledSlave, context: ContextState, task: Task, now: float
) -> None:
    """A task's attempt has ended its runner, or the whole slave."""
    key = task.context, task.id
    if not task.done:
        earlier = board.deaths.get(key)
        slaves = (slave.id,) if earlier is None else (*earlier.slaves, slave.id)
        mean_s = _FEW_S if context.mean_s is None else context.mean_s
        patience_s = max(board.policy.elsewhere_s, 2 * mean_s)
        until = now + patience_s * _GROWTH ** (slaves.count(slave.id) - 1)
        board.deaths[key] = Death(slaves, until)
        board.look_at = min(board.look_at, until)
    slave.is_trusted = False
    if key not in slave.killed:
        slave.killed = (*slave.killed, key)
    is_ill = len(slave.killed) >= board.policy.ill_after
    if is_ill and slave.phase is not Phase.GONE and _has_healthy(board):
        _set_aside(board, slave, now)


def _set_aside(board: Board, slave: ScheduledSlave, now: float) -> None:
    policy = board.policy
    aside_s = policy.aside_s * 2.0**slave.times_aside
    slave.is_aside = True
    slave.times_aside += 1
    slave.aside_until = now + min(aside_s, policy.longest_aside_s)
    board.look_at = min(board.look_at, slave.aside_until)
    board.aside[slave.id] = slave
    board.actions.append(SetAside(slave.id, len(slave.killed)))
    board.settle(slave)


def take_up(board: Board, slave: ScheduledSlave) -> None:
    """Let a slave that was set aside take work again."""
    slave.is_aside = False
    del board.aside[slave.id]
    board.actions.append(TakeUp(slave.id))
    board.settle(slave)


def take_up_if_needed(board: Board) -> None:
    """A slave is set aside only while others do its work: that of each context.

    Where a context's set-up has failed on all others, its tasks would only wait.
    """
    needing = [
        context.id
        for context in board.contexts.values()
        if context.has_startable(board.policy) and not _has_healthy(board, context.id)
    ]
    is_needed = not _has_healthy(board)
    for slave in list(board.aside.values()):
        if is_needed or any(id not in slave.excluded for id in needing):
            take_up(board, slave)


def look(board: Board, now: float) -> None:
    """Time has passed: take up slaves, and find when to look again."""
    for slave in list(board.aside.values()):
        if slave.aside_until <= now:
            take_up(board, slave)
    untils = [death.until for death in board.deaths.values() if death.until > now]
    untils += [slave.aside_until for slave in board.aside.values()]
    board.look_at = min(untils, default=_NEVER)


def trust(slave: ScheduledSlave) -> None:
    """A task has ended on a slave: the tasks that died there before may be to blame themselves."""
    slave.is_trusted = True
    slave.killed = ()
    slave.times_aside = 0


def may_take(board: Board, slave: ScheduledSlave, task: Task, now: float) -> bool:
    """Whether a slave may be given a task.

    A task that has died goes to a slave on which other tasks end and this one has not died. It goes
    to another slave only after a while, or if no slave is, or may turn out to be, such a slave.
    """
    death = board.deaths.get((task.context, task.id))
    if death is None or now >= death.until:
        return True
    if slave.is_trusted and slave.id not in death.slaves:
        return True
    return not any(
        (other.is_trusted or _is_tested(other))
        and other is not slave
        and other.id not in death.slaves
        and _is_there(other)
        and task.context not in other.excluded
        for other in board.slaves.values()
    )


def has_any(board: Board, slave: ScheduledSlave, context: ContextState, now: float) -> bool:
    """Whether a context has anything startable that a slave may take."""
    if context.has_startable_fresh(board.policy):
        return True
    retries = islice(context.retry.values(), _LOOK_AT)
    return any(may_take(board, slave, task, now) for task in retries)


def next_retry(
    board: Board, slave: ScheduledSlave, context: ContextState, now: float
) -> Task | None:
    """Take the next task that is to be tried again out of the queue, if the slave may take it."""
    for task in islice(context.retry.values(), _LOOK_AT):
        if may_take(board, slave, task, now):
            return context.retry.pop(task.id)
    return None


def _has_healthy(board: Board, context: int = 0) -> bool:
    """Whether a slave works on which nothing has died, and a context's set-up, if one is given."""
    return any(
        _is_there(slave) and not slave.killed and context not in slave.excluded
        for slave in board.slaves.values()
    )


def _is_tested(slave: ScheduledSlave) -> bool:
    """Whether a slave, on which nothing has died, is at a task."""
    return bool(slave.items) and not slave.is_setting_up and not slave.killed


def _is_there(slave: ScheduledSlave) -> bool:
    """Whether a slave works, or will when it has its next runner."""
    return (
        slave.has_joined
        and slave.phase is not Phase.GONE
        and not (slave.is_away or slave.is_suspected or slave.is_leaving or slave.is_aside)
    )
