"""The scheduler: a pure state machine. Events in, actions out; no clock, socket or thread.

The engine calls one method for each thing that happens, with the time of it, and performs the
actions that come back. Each added task is delivered exactly once, whatever the order of events.

Events are here. Other modules say what follows from them: which slave gets which tasks
(:mod:`.assignment`), how tasks end (:mod:`.outcomes`) or are cancelled (:mod:`.cancelling`), and
what becomes of the tasks of slaves that are lost (:mod:`.losses`). The state that they share is the
:mod:`.board`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

from .._light_typing import Any
from . import assignment, cancelling, health, losses, outcomes, patience
from .actions import Action, ForgetPart
from .board import Board
from .contexts import ContextState
from .policy import Policy
from .slaves import Phase, ScheduledSlave, SetupItem
from .tasks import Ended, Outcome, Task

_NEVER = float("inf")


class Scheduler:
    """Decides which slave does what.

    Every event method takes ``now`` (monotonic seconds) where time matters and returns the actions
    to perform, in order. Ids are the caller's: integers, never used twice.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self._board = Board(self.policy)
        self._slaves = self._board.slaves
        self._contexts = self._board.contexts

    # ---- questions

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
        return None if state.running is None else (state.running, state.progress_at)

    def unfinished_task(self, context: int, inbox: Any, number: int) -> Task | None:
        """Return the task of this number in its inbox; None if it has its outcome."""
        state = self._contexts.get(context)
        return None if state is None else cancelling.find(self._board, state, inbox, number)

    def is_begun(self, task: Task) -> bool:
        """Whether a slave is at a task, as far as is known."""
        return cancelling.is_begun(self._board, task)

    def waiting_tasks(self, context: int, inbox: Any) -> list[Task]:
        """Return the tasks without an outcome, of an inbox, that no slave is at."""
        state = self._contexts.get(context)
        return [] if state is None else cancelling.waiting(self._board, state, inbox)

    def slaves_at(self, context: int) -> int:
        """Return how many slaves are at a task of a context that the user has not dropped."""
        running = [slave.running for slave in self._slaves.values()]
        tasks = [item for item in running if isinstance(item, Task)]
        return sum(task.context == context and not task.is_forgotten for task in tasks)

    def failures_in(self, context: int) -> int:
        """Return how many tasks of a context have failed."""
        state = self._contexts.get(context)
        return 0 if state is None else state.failures

    def unfinished_tasks(self) -> int:
        """Return how many tasks have no outcome yet."""
        return sum(len(c.fresh) + c.running for c in self._contexts.values())

    def relaunches_used_up(self, slave: int) -> int:
        """Return how often a slave has been launched again, if that is the limit; 0 otherwise."""
        state = self._slaves[slave]
        limit = self.policy.max_relaunches
        return state.relaunches if state.can_return and state.relaunches >= limit else 0

    def next_tick(self) -> float | None:
        """Return when :meth:`tick` wants to be called, if nothing else happens before."""
        due = min(assignment.next_take_back(self._board), self._board.look_at)
        return None if due == _NEVER else due

    # ---- events: contexts and tasks

    def context_opened(
        self,
        context: int,
        max_attempts: int = 3,
        setup_limit_s: float = 0.0,
        task_limit_s: float = 0.0,
        max_failures: int = 0,
        max_tasks_per_runner: int = 0,
    ) -> list[Action]:
        """A context exists from now on. Slaves see to its time limits (s; 0 for none).

        When so many of its tasks have failed, the rest is ended (0: however many). A runner that
        has run so many tasks is replaced before the next one of this context (0: however many).
        """
        self._contexts[context] = ContextState(
            context, max_attempts, setup_limit_s, task_limit_s, max_failures, max_tasks_per_runner
        )
        return self._board.flush()

    def tasks_added(self, tasks: list[Task], now: float) -> list[Action]:
        """The user has added tasks of open contexts."""
        for id, some in groupby(tasks, attrgetter("context")):
            context = self._contexts.get(id)
            if context is not None:  # closed in the meantime: nobody is left to be told
                context.fresh.extend(some)
        losses.judge_setups(self._board)
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
        """A thread of the user waits for an outcome, and has not found it among those that arrived.

        Called once when the thread begins to wait, after :meth:`outcomes_read` has reported what
        was read before. Until the next such report, lack of credit does not stop the context:
        its oldest unfinished task is started whenever nothing of it runs or is to be tried again.
        It takes more than one such start if outcomes come that the reader does not wait for.
        """
        state = self._contexts.get(context)
        if state is not None:
            state.has_waiting_reader = True
        return self._decide(now)

    def context_closed(self, context: int, now: float) -> list[Action]:
        """The user has closed or dropped a context: its tasks are forgotten, running ones ended."""
        if self._contexts.pop(context, None) is None:
            return self._board.flush()
        outcomes.close_context(self._board, context)
        return self._decide(now)

    def tasks_forgotten(
        self, context: int, are_forgotten: Callable[[Task], bool], now: float
    ) -> list[Action]:
        """The user has dropped some tasks of a context: none is begun any more, or delivered.

        Those that run come to their end, since a runner may have taken long to set up.
        """
        state = self._contexts.get(context)
        if state is not None:
            outcomes.forget(self._board, state, are_forgotten)
        return self._decide(now)

    def failures_forgotten(self, context: int, now: float) -> list[Action]:
        """The user begins anew with a context: none of its tasks has failed, and all may begin."""
        state = self._contexts.get(context)
        if state is not None:
            state.failures = 0
            state.is_stopped = False
            outcomes.judge_setup(self._board, state)
        return self._decide(now)

    def tasks_cancelled(self, context: int, tasks: Sequence[Task], now: float) -> list[Action]:
        """The user has cancelled tasks: that is the outcome of those that have none.

        Those that run are ended, and their slaves are kept. A slave that has begun one meanwhile
        ends it, too.
        """
        state = self._contexts.get(context)
        if state is not None:
            cancelling.cancel(self._board, state, tasks)
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
        """A slave's batch system has started it anew, whether it had been lost before or not.

        No task is charged; ``cause`` is what the history of its tasks says of the restart.
        """
        state = self._slaves[slave]
        if state.phase is Phase.GONE:
            return self.slave_added(slave, state.relaunchable)
        losses.restart(self._board, state, cause, now)
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
        losses.suspect(self._board, state)
        return self._decide(now)

    def slave_heard(self, slave: int, now: float) -> list[Action]:
        """A suspected slave is there after all: it goes on where it was."""
        state = self._slaves[slave]
        if not state.is_suspected:
            return self._board.flush()
        losses.trust_again(self._board, state)
        return self._decide(now, state)

    def slave_present(self, slave: int, patience_s: float, now: float) -> list[Action]:
        """A slave has been heard since the last call, and has got all that it was sent.

        To be called four times in ``patience_s`` at most: a slave that owes an answer for longer is
        given up. Not to be called while the slave is sending something that may be large, since its
        answer waits behind that.
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
            slave: the slave.
            charged: the item that is to blame; 0 for none. Nothing is charged on a slave that
                is leaving: whoever ends it may end its runner first.
            cause: how it died, for the history of that item's task.
            now: when it is known.
        """
        losses.lose_runner(self._board, self._slaves[slave], charged, cause, now)
        return self._decide(now)

    def memory_exceeded(
        self, slave: int, item: int, cause: str, peak_bytes: int, now: float
    ) -> list[Action]:
        """A slave has ended its runner since the item that it was at held more memory than it may.

        That is the outcome of a task, unless earlier tasks may be to blame, which ran in the same
        process: then the task is tried once more. A set-up has failed on this slave. The runner is
        lost as in :meth:`runner_lost`.
        """
        losses.lose_runner(self._board, self._slaves[slave], item, cause, now, peak_bytes)
        return self._decide(now)

    def slave_lost(self, slave: int, is_charged: bool, cause: str, now: float) -> list[Action]:
        """A slave has gone for good, with its supervisor.

        Args:
            slave: the slave.
            is_charged: whether the item that it was running may be to blame. Nothing is charged
                on a slave that was leaving.
            cause: how it went, for that item's history.
            now: when it is known.
        """
        state = self._slaves[slave]
        if state.phase is Phase.GONE:
            return self._board.flush()
        losses.lose_slave(self._board, state, is_charged=is_charged, cause=cause, now=now)
        return self._decide(now)

    # ---- events: what becomes of items

    def item_ended(
        self, slave: int, item: int, outcome: Outcome, duration_s: float, now: float
    ) -> list[Action]:
        """A runner has written the outcome of an item: a task's, or a set-up's."""
        return self.items_ended(slave, Ended.of((item, outcome, duration_s)), now)

    def items_ended(self, slave: int, ended: Ended, now: float) -> list[Action]:
        """A runner has written the outcomes of items."""
        state = self._slaves[slave]
        outcomes.items_ended(self._board, state, ended, now)
        return self._decide(now, state)

    def items_returned(self, slave: int, items: list[int], now: float) -> list[Action]:
        """A slave has handed back items that it had not begun: the answer to a TakeBack."""
        state = self._slaves[slave]
        may_be_refilled = losses.return_items(self._board, state, items, now)
        return self._decide(now, state if may_be_refilled else None)

    def tick(self, now: float) -> list[Action]:
        """Time has passed (see :meth:`next_tick`)."""
        assignment.take_back_for_idle(self._board, now)
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
        assignment.fill_idle(self._board, now)
        if busy is not None:
            assignment.fill(self._board, busy, now)
        return self._board.flush()
