"""The board: the state that the scheduler's parts share, and the sets that its slaves are in."""

from __future__ import annotations

from itertools import count

from .._light_typing import NamedTuple
from .actions import Action, RenewRunner, TakeBack
from .contexts import ContextState
from .policy import Policy
from .slaves import Phase, ScheduledSlave


class Death(NamedTuple):
    """Where a task has died, and until when another slave is waited for."""

    slaves: tuple[int, ...]
    until: float


class Board:
    """All slaves and contexts, and the actions that have been decided on so far."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.slaves: dict[int, ScheduledSlave] = {}
        self.contexts: dict[int, ContextState] = {}
        self.idle: dict[int, ScheduledSlave] = {}  # those that take work and have none
        # those that hold more than the item that runs, and were not asked to hand items back; the
        # one whose running item began first comes first
        self.backlogged: dict[int, ScheduledSlave] = {}
        self.alive = 0  # how many slaves run or may still come
        self.actions: list[Action] = []
        self.asked_at = float("-inf")  # when slaves were last asked to hand back for idle ones
        # of tasks that have died and have no outcome, by context and id (see :mod:`.health`)
        self.deaths: dict[tuple[int, int], Death] = {}
        self.aside: dict[int, ScheduledSlave] = {}  # those that are set aside
        self.look_at = float("inf")  # when to look at the deaths and these slaves again
        self._items = 0  # how many have been given out
        self._turns = count(1)

    def flush(self) -> list[Action]:
        """Return the actions that have been decided on, and begin a new list."""
        actions, self.actions = self.actions, []
        return actions

    def next_items(self, count: int) -> range:
        """Return the numbers of so many more items."""
        first = self._items + 1
        self._items += count
        return range(first, first + count)

    def has_startable(self) -> bool:
        """Whether any context has a task that may be sent now."""
        return any(c.has_startable(self.policy) for c in self.contexts.values())

    def note_progress(self, slave: ScheduledSlave, now: float) -> None:
        """Another item of a slave runs from now on."""
        slave.progress_at = now
        self.backlogged.pop(slave.id, None)  # settle() puts it behind those that began before

    def settle(self, slave: ScheduledSlave) -> None:
        """Put a slave into the sets ``idle`` and ``backlogged``, or take it out."""
        held = len(slave.items)
        if held == 0 and slave.serves is not None:
            self.serve(slave, None)
        takes_work = slave.takes_work
        if takes_work and held == 0:
            self.idle[slave.id] = slave
        else:
            self.idle.pop(slave.id, None)
        if takes_work and held > 1:
            self.backlogged[slave.id] = slave
        else:
            self.backlogged.pop(slave.id, None)

    def serve(self, slave: ScheduledSlave, context: ContextState | None) -> None:
        """Count a slave for the context that it works for."""
        previous = self.contexts.get(slave.serves) if slave.serves is not None else None
        if previous is not None:
            previous.slaves -= 1
        slave.serves = None
        if context is not None:
            context.chosen_at = next(self._turns)
            context.slaves += 1
            slave.serves = context.id

    def take_back(self, slave: ScheduledSlave) -> None:
        """Ask a slave for the items that it has not begun; it gets nothing until it answers."""
        if not slave.awaits_return:
            slave.awaits_return = True
            self.actions.append(TakeBack(slave.id))
            self.settle(slave)

    def renew_runner(self, slave: ScheduledSlave) -> None:
        """Have a slave's runner, which is at nothing, replaced by a new one."""
        slave.phase = Phase.STARTING
        slave.forget_runner()
        self.actions.append(RenewRunner(slave.id))
        self.settle(slave)

    def may_run(self, slave: ScheduledSlave, context: int) -> bool:
        """Whether a slave may be given tasks of a context, once it has been set up."""
        state = self.contexts.get(context)
        if state is None or state.is_broken or state.is_doubtful:
            return False
        return context not in slave.excluded

    def forget_slave(self, slave: ScheduledSlave) -> None:
        """A slave has gone, and will not be launched again."""
        slave.phase = Phase.GONE
        slave.is_aside = False
        self.aside.pop(slave.id, None)
        self.alive -= 1
