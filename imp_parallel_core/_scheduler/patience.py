"""Slaves that are heard, and do not do what they were given or asked to do.

A supervisor answers at once, whatever its runner is doing: so a slave that is heard and does not
answer never will. A supervisor can't know when a task will end: so nothing follows from a task that
takes long, unless it has a time limit.
"""

from __future__ import annotations

from .actions import GiveUp
from .board import Board
from .slaves import Phase, ScheduledSlave, SetupItem, Vigil
from .tasks import Task

LOOKS = 4  # how often a slave that is heard is looked at, in the time of the patience
_HAND_BACKS = 3  # how often in a row a slave may hand back all that it was given
_LOSSES = 10  # how often in a row it may lose a runner without a task to blame
_LIMIT_FACTOR = 1.5  # the master may count more time for a task than the slave itself does


def look(board: Board, slave: ScheduledSlave, patience_s: float, now: float) -> None:
    """A slave has been heard since the last look: give it up if it has owed something too long."""
    if slave.is_given_up or slave.phase is not Phase.READY:
        return
    if slave.is_away or slave.is_suspected:  # it may be stopped
        slave.vigil = Vigil()
        return
    item = next(iter(slave.items), 0)
    vigil = slave.vigil
    if vigil.item != item:
        vigil = slave.vigil = Vigil(item, now)
    passed_s = min(now - vigil.looked_at, patience_s / 2)  # it may have been stopped meanwhile
    vigil.looked_at = now
    vigil.at_it_s += passed_s
    vigil.quiet_s += passed_s
    owed = _what_it_owes(slave, item, patience_s)
    vigil.owing = vigil.owing + 1 if owed else 0
    if vigil.owing > LOOKS:
        give_up(board, slave, owed)
    elif item and not owed:
        _care_for_item(board, slave, item, patience_s)


def _what_it_owes(slave: ScheduledSlave, item: int, patience_s: float) -> str:
    """Return in words what a slave owes; "" if it owes nothing."""
    for_so_long = f"for {patience_s:g} s (heartbeat_timeout)"
    if item and item == slave.unneeded:
        return f"it is heard, but has not ended {for_so_long} what nobody needs any more"
    if slave.awaits_return:
        return f"it is heard, but has not answered {for_so_long} what it has not begun"
    if slave.is_leaving and not item:
        return f"it was told to leave, but is still heard {for_so_long}"
    if item and item < slave.last_ended:
        return "it is heard, but has left out a task, and done later ones"
    return ""


def _care_for_item(board: Board, slave: ScheduledSlave, item: int, patience_s: float) -> None:
    """Ask a slave that has been at an item for long to hand back the others; it must answer."""
    vigil, limit_s = slave.vigil, _limit_of(board, slave.items[item])
    if limit_s and vigil.at_it_s > _LIMIT_FACTOR * limit_s + 2 * patience_s:
        text = f"its task has overrun its time limit of {limit_s:g} s, and it has not ended that"
        give_up(board, slave, text, is_charged=True)
    elif vigil.quiet_s >= patience_s:
        vigil.quiet_s = 0.0
        slave.is_probed = True
        board.take_back(slave)


def _limit_of(board: Board, what: Task | SetupItem) -> float:
    context = board.contexts.get(what.context)
    if context is None:
        return 0.0
    return context.setup_limit_s if isinstance(what, SetupItem) else context.task_limit_s


def note_return(board: Board, slave: ScheduledSlave, items: list[int]) -> bool:
    """A slave has handed items back; return whether it may be given others at once.

    A slave that hands back an item that it should be running, or items that nobody asked for, does
    not work.
    """
    begun = next(iter(slave.items), 0)
    was_asked, was_probed = slave.awaits_return, slave.is_probed
    slave.awaits_return = slave.is_probed = False
    if was_asked and slave.unneeded != begun:
        slave.vigil.owing = 0  # it may be asked again before it is looked at
    if slave.is_leaving or not any(item in slave.items for item in items):
        return not was_probed
    if was_asked:
        is_fruitless = was_probed and begun in items
    else:  # a slave that is paused hands back the items that it has not begun
        is_fruitless = begun in items or not slave.is_away
    if is_fruitless:
        _note_fruitless(
            board, slave, _HAND_BACKS, "has handed back what it was given, and done none of it"
        )
    return not was_probed


def note_runner_lost(board: Board, slave: ScheduledSlave, charged: int) -> None:
    """A slave says that its runner has died; no item may be to blame, but not again and again."""
    if slave.items and not charged and not slave.is_leaving and slave.unneeded not in slave.items:
        text = "has lost its runner without a task to blame, and done nothing"
        _note_fruitless(board, slave, _LOSSES, text)


def _note_fruitless(board: Board, slave: ScheduledSlave, limit: int, what: str) -> None:
    slave.fruitless += 1
    if slave.fruitless >= limit:
        give_up(board, slave, f"it {what}, {slave.fruitless} times in a row")


def give_up(board: Board, slave: ScheduledSlave, why: str, *, is_charged: bool = False) -> None:
    """Ask the engine to have a slave lost; until that is done, the slave keeps its items."""
    if not slave.is_given_up:
        slave.is_given_up = True
        board.actions.append(GiveUp(slave.id, why, is_charged))
        board.settle(slave)
