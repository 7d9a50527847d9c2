"""The scheduler: a pure state machine. Events in, actions out; no clock, socket or thread.

The engine calls one method for each thing that happens, with the time of it, and performs the
actions that come back. Each added task is delivered exactly once, whatever the order of events.

Events are here. What they change is next door: who gets work (:mod:`.assignment`), what becomes of
it (:mod:`.outcomes`), and the state that both share (:mod:`.board`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

from . import assignment as work
from . import health, patience
from . import outcomes as ends
from .actions import Action, ForgetPart, NextRunner, Relaunch
from .board import Board
from .contexts import ContextState
from .policy import Policy
from .slaves import Phase, ScheduledSlave, SetupItem
from .tasks import Outcome, Task

_context_of = attrgetter("context")
_NEVER = float("inf")


class Scheduler:
    """Decides which slave does what.

    Every event method takes ``now`` (monotonic seconds) where time matters and returns the actions
    to perform, in order. Ids are the caller's: integers, never used twice.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self._board = Board(policy or Policy())
        self._slaves = self._board.slaves
        self._contexts = self._board.contexts
        self._asked_at = float("-inf")  # when slaves were last asked to hand back for idle ones

    # ---- what can be asked

    @property
    def has_hope(self) -> bool:
        """Whether any slave runs or may still come."""
        return self._board.alive > 0

    @property
    def has_idle_slaves(self) -> bool:
        """Whether a task that is added now may begin at once."""
        return bool(self._board.idle)

    def items_of(self, slave: int) -> int:
        """Return how many items a slave holds."""
        return len(self._slaves[slave].items)

    def doing(self, slave: int) -> tuple[Task | SetupItem, float] | None:
        """Return the item that a slave is at, and since when; None if it has nothing to do."""
        state = self._slaves[slave]
        first = next(iter(state.items.values()), None)
        return None if first is None else (first, state.progress_at)

    def unfinished_tasks(self) -> int:
        """Return how many tasks have no outcome yet."""
        return sum(len(c.fresh) + c.running for c in self._contexts.values())

    def relaunches_used_up(self, slave: int) -> int:
        """Return how often a slave has been launched again, if that is the limit; 0 otherwise."""
        state = self._slaves[slave]
        limit = self._board.policy.max_relaunches
        return state.relaunches if state.can_return and state.relaunches >= limit else 0

    def next_tick(self) -> float | None:
        """Return when :meth:`tick` wants to be called, if nothing else happens before."""
        due, look_at = self._next_take_back(), self._board.look_at
        if look_at == _NEVER:
            return due
        return look_at if due is None else min(due, look_at)

    def _next_take_back(self) -> float | None:
        due = work.next_take_back(self._board)
        if due is None:
            return None
        return max(due, self._asked_at + self._board.policy.patience_s)

    # ---- events: contexts and tasks

    def context_opened(
        self,
        context: int,
        max_attempts: int = 3,
        setup_limit_s: float = 0.0,
        task_limit_s: float = 0.0,
    ) -> list[Action]:
        """A context exists from now on. Slaves see to its time limits (s; 0 for none)."""
        state = ContextState(context, max_attempts, setup_limit_s, task_limit_s)
        self._contexts[context] = state
        return self._board.flush()

    def tasks_added(self, tasks: list[Task], now: float) -> list[Action]:
        """The user has added tasks of open contexts."""
        for id, some in groupby(tasks, _context_of):
            context = self._contexts.get(id)
            if context is not None:  # closed in the meantime: nobody is left to be told
                context.fresh.extend(some)
        self._judge_setups()
        return self._decide(now)

    def outcomes_read(
        self, context: int, outcomes: int, size_bytes: int, now: float
    ) -> list[Action]:
        """The user has taken outcomes, which frees credit; no reader is known to wait any more."""
        state = self._contexts.get(context)
        if state is not None:
            state.unread -= outcomes
            state.unread_bytes -= size_bytes
            state.has_waiting_reader = False
        return self._decide(now)

    def reader_waits(self, context: int, now: float) -> list[Action]:
        """A thread of the user waits, and nothing that has arrived is what it waits for.

        Called once when it begins to wait, after what was read before has been reported by
        :meth:`outcomes_read`. Until the next such report, lack of credit does not stop the context:
        its oldest unfinished task is started whenever nothing of it runs or is to be tried again.
        It takes more than one such start if outcomes come that are not what the reader waits for.
        """
        state = self._contexts.get(context)
        if state is None:
            return self._board.flush()
        state.has_waiting_reader = True
        return self._decide(now)

    def context_closed(self, context: int, now: float) -> list[Action]:
        """The user has closed or dropped a context: its tasks are forgotten, running ones ended."""
        if self._contexts.pop(context, None) is None:
            return self._board.flush()
        deaths = self._board.deaths
        for key in [key for key in deaths if key[0] == context]:
            del deaths[key]
        for slave in self._slaves.values():
            if slave.serves == context:
                slave.serves = None
            if slave.phase is Phase.READY:
                ends.withdraw(self._board, slave, context)
            slave.excluded.discard(context)
            slave.kept.drop_context(context)
        return self._decide(now)

    def tasks_forgotten(
        self, context: int, are_forgotten: Callable[[Task], bool], now: float
    ) -> list[Action]:
        """The user has dropped some tasks of a context: none is begun any more, or delivered.

        Those that run come to their end, since a runner may have taken long to set up.
        """
        state = self._contexts.get(context)
        if state is not None:
            ends.forget(self._board, state, are_forgotten)
        return self._decide(now)

    def part_released(self, context: int, number: int) -> list[Action]:
        """No task refers to a large part any more: slaves need not keep it."""
        for slave in self._slaves.values():
            if slave.kept.drop(context, number):
                self._board.actions.append(ForgetPart(slave.id, context, number))
        return self._board.flush()

    # ---- events: slaves

    def slave_added(self, slave: int, relaunchable: bool = False) -> list[Action]:
        """A slave's launch has been asked for."""
        self._slaves[slave] = ScheduledSlave(slave, relaunchable)
        self._board.alive += 1
        return self._board.flush()

    def slave_restarted(self, slave: int, cause: str, now: float) -> list[Action]:
        """A slave's batch system has started it anew; it may have been lost before, or not.

        Args:
            slave: which one.
            cause: what to say of that in the history of tasks; none is charged.
            now: when it is known.
        """
        state = self._slaves[slave]
        if state.phase is Phase.GONE:
            return self.slave_added(slave, state.relaunchable)
        items = state.items
        state.phase = Phase.STARTING
        state.forget_runner()
        state.forget_connection()
        self._board.settle(state)
        ends.hand_back(self._board, state, items, 0, cause, now)
        return self._decide(now)

    def runner_ready(self, slave: int, now: float) -> list[Action]:
        """A slave's runner waits for its first item."""
        state = self._slaves[slave]
        state.phase = Phase.READY
        state.has_joined = True
        if state.ready_since is None:
            state.ready_since = now
        self._board.settle(state)
        return self._decide(now)

    def slave_away(self, slave: int, now: float) -> list[Action]:
        """A slave's connection has broken: it keeps what it has, and gets no more meanwhile."""
        state = self._slaves[slave]
        if state.phase is not Phase.GONE:
            state.is_away = True
            self._board.settle(state)
        return self._decide(now)

    def slave_back(self, slave: int, now: float) -> list[Action]:
        """A slave that was away has a connection again."""
        state = self._slaves[slave]
        state.is_away = False
        self._board.settle(state)
        return self._decide(now, state)

    def slave_suspected(self, slave: int, now: float) -> list[Action]:
        """A slave has not been heard for too long: its tasks may begin elsewhere."""
        state = self._slaves[slave]
        if state.phase is Phase.GONE or state.is_suspected:
            return self._board.flush()
        state.is_suspected = True
        self._board.settle(state)
        ends.double(self._board, state)
        self._judge_setups()
        return self._decide(now)

    def slave_heard(self, slave: int, now: float) -> list[Action]:
        """A suspected slave is there after all: it goes on where it was."""
        state = self._slaves[slave]
        if not state.is_suspected:
            return self._board.flush()
        state.is_suspected = False
        ends.go_on(self._board, state)
        self._board.settle(state)
        return self._decide(now, state)

    def slave_present(self, slave: int, patience_s: float, now: float) -> list[Action]:
        """A slave has been heard since this was last said, and has got all that it was sent.

        Said four times in ``patience_s`` at most, so that a slave is given up that owes an answer
        for longer; not of one that is sending what may be large, since an answer waits behind it.
        """
        patience.look(self._board, self._slaves[slave], patience_s, now)
        return self._board.flush()

    def slave_leaving(self, slave: int, now: float) -> list[Action]:
        """A slave has announced that it will be ended: it gets no more work."""
        state = self._slaves[slave]
        state.is_leaving = True
        if len(state.items) > 1:
            self._board.take_back(state)
        self._board.settle(state)
        return self._decide(now)

    def runner_lost(self, slave: int, charged: int, cause: str, now: float) -> list[Action]:
        """A slave's runner has died; its supervisor starts another.

        Args:
            slave: whose runner it was.
            charged: the item that is to blame; 0 for none. Nothing is charged on a slave that
                is leaving: whoever ends it may end its runner first.
            cause: how it died, for the history of that item's task.
            now: when it is known.
        """
        state = self._slaves[slave]
        items = state.items
        state.phase = Phase.STARTING
        patience.note_runner_lost(self._board, state, charged)
        state.forget_runner()
        self._board.settle(state)
        self._board.actions.append(NextRunner(slave))
        ends.hand_back(self._board, state, items, 0 if state.is_leaving else charged, cause, now)
        return self._decide(now)

    def slave_lost(self, slave: int, is_charged: bool, cause: str, now: float) -> list[Action]:
        """A slave has gone for good, with its supervisor.

        Args:
            slave: which one.
            is_charged: whether the item that it was running may be to blame. Nothing is charged
                on a slave that was leaving.
            cause: how it went, for that item's history.
            now: when it is known.
        """
        state = self._slaves[slave]
        if state.phase is Phase.GONE:
            return self._board.flush()
        items = state.items
        charged = next(iter(items), 0) if is_charged and not state.is_leaving else 0
        self._launch_again_or_forget(state)
        state.forget_runner()
        state.forget_connection()
        self._board.settle(state)
        ends.hand_back(self._board, state, items, charged, cause, now, is_loss=True)
        self._judge_setups()
        return self._decide(now)

    def _launch_again_or_forget(self, slave: ScheduledSlave) -> None:
        if slave.can_return and slave.relaunches < self._board.policy.max_relaunches:
            slave.relaunches += 1
            slave.ready_since = None
            slave.phase = Phase.STARTING
            self._board.actions.append(Relaunch(slave.id))
        else:
            self._board.forget_slave(slave)

    # ---- events: what becomes of items

    def item_ended(
        self, slave: int, item: int, outcome: Outcome, duration_s: float, now: float
    ) -> list[Action]:
        """A runner has written the outcome of an item: a task's, or a set-up's."""
        return self.items_ended(slave, [(item, outcome, duration_s)], now)

    def items_ended(
        self, slave: int, ended: Sequence[tuple[int, Outcome, float]], now: float
    ) -> list[Action]:
        """A runner has written outcomes: for each its item, and how long that took (s)."""
        state = self._slaves[slave]
        held = len(state.items)
        has_worked = False
        for item, outcome, duration_s in ended:
            what = state.items.pop(item, None)
            if what is None:
                continue  # of an attempt that has been given up already
            if isinstance(what, SetupItem):
                ends.setup_ended(self._board, state, what, outcome)
            else:
                ends.task_ended(self._board, state, what, outcome, duration_s)
                has_worked = True
        if has_worked and state.relaunches:
            ends.note_worth(self._board, state, now)
        if len(state.items) != held:
            self._board.note_progress(state, now)
            if what is not None:
                state.last_ended = item
            if state.fruitless and isinstance(what, Task):
                state.fruitless = 0
        self._board.settle(state)
        return self._decide(now, state)

    def items_returned(self, slave: int, items: list[int], now: float) -> list[Action]:
        """A slave has handed back items that it had not begun: the answer to a TakeBack."""
        state = self._slaves[slave]
        may_be_refilled = patience.note_return(self._board, state, items)
        returned = {item: state.items.pop(item) for item in items if item in state.items}
        ends.hand_back(self._board, state, returned, 0, "", now)
        ends.go_on(self._board, state)
        self._board.settle(state)
        # nothing is sent behind an item that takes long
        return self._decide(now, state if may_be_refilled else None)

    def tick(self, now: float) -> list[Action]:
        """Time has passed (see :meth:`next_tick`)."""
        due = self._next_take_back()
        if due is not None and due <= now and work.take_back_for_idle(self._board, now):
            self._asked_at = now
        if self._board.look_at > now:
            return self._board.flush()
        health.look(self._board, now)
        return self._decide(now)

    # ---- what follows from every event

    def _decide(self, now: float, busy: ScheduledSlave | None = None) -> list[Action]:
        """Give out what has become startable: to idle slaves first, then to a busy one."""
        if self._board.aside:
            health.take_up_if_needed(self._board)
        if busy is not None and not busy.items:
            busy = None
        work.fill_idle(self._board, now)
        if busy is not None:
            work.fill(self._board, busy, now)
        return self._board.flush()

    def _judge_setups(self) -> None:
        for context in list(self._contexts.values()):
            ends.judge_setup(self._board, context)
