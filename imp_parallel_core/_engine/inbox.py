"""Where the engine puts outcomes, and the user's threads wait for them.

A Ctrl-C may strike the user's thread anywhere, and the script may go on afterwards. So the engine
alone counts, the user's side holds no lock of Python's own making, and a delivery stays here until
:attr:`Inbox.claim` removes it in one atomic step, just before it is handed to the user. A reader
that finds nothing asks the engine, which knows.

What becomes of an outcome:

=========  =====================================  =================================================
state      event                                  next state
=========  =====================================  =================================================
(none)     ``put``                                unread: among the deliveries, its number in order
unread     ``take``                               taken: still among the deliveries
taken      ``give_back``; a reader asks, and no   unread: a Ctrl-C came, or a reader is slow
           number is left in order
taken      ``claim``, by one of its takers        read: gone, after ``note_read`` has noted it
any        ``close``                              gone, and counted as read
=========  =====================================  =================================================

What becomes of a reader's question is told in :mod:`.waiter`.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from operator import length_hint, not_

from .._errors import Error, ResultTimeoutError
from .._scheduler.actions import Deliver
from .._scheduler.tasks import OutcomeKind, Task
from .waiter import Answer, Complete, LookAgain, Stopped, Waiter

_KEPT_BYTES = 1024  # of a task that has given a value which may not be readable
_NUMBERS = range(1 << 62)
_set_number = vars(Task)["number"].__set__


class Inbox:
    """Outcomes of one context: of the tasks that were added to it, or of one Map.

    Args:
        ask: passes a waiter on to the engine, which answers it at once or later.
        nudge: tells the engine that outcomes have been read.
        check: called every second while a reader waits; raises if the engine has ended.
        nudge_every: after how many outcomes; credit is given back in such portions.
        map: which map of the context it is for, from 1; 0 for none.
    """

    def __init__(
        self,
        ask: Callable[[Waiter], None],
        nudge: Callable[[], None],
        check: Callable[[], None],
        nudge_every: int = 64,
        map: int = 0,
    ) -> None:
        self.map = map
        self._ask = ask
        self._nudge = nudge
        self._check = check
        self._nudge_every = nudge_every
        self._deliveries: dict[int, Deliver] = {}
        self.claim = self._deliveries.pop
        """``claim(number, None)`` removes a delivery and returns it; None if another reader did."""
        self._order: deque[int] = deque()  # the numbers of deliveries, as they came
        self._noted: deque[tuple[int, int]] = deque()  # (outcomes, bytes) read, not counted yet
        self._numbers = iter(_NUMBERS)  # of tasks to come
        self._next = 0  # for reading in order: all before this one have been claimed
        # the engine's own:
        self._added = 0
        self._done = 0
        self._all_done_below = 0
        self._done_beyond: set[int] = set()
        self._waiters: list[Waiter] = []
        self._error: Error | None = None
        self._is_stopped = False

    # ---- the engine's side

    def count_added(self, count: int) -> None:
        """Count tasks that have come to the engine."""
        self._added += count

    def put(self, arrived: Sequence[Deliver]) -> None:
        """Add outcomes; :meth:`answer_waiters` makes them known."""
        if self._error is not None:  # nobody will read them
            self._noted.extend((1, delivery.outcome.size_bytes) for delivery in arrived)
            return
        for delivery in arrived:
            task = delivery.task
            if delivery.outcome.kind is OutcomeKind.VALUE and not _may_fail_later(delivery):
                task.payload = ()  # only an error shows what the task was
            self._deliveries[task.number] = delivery
        numbers = [delivery.task.number for delivery in arrived]
        self._order.extend(numbers)
        self._done += len(arrived)
        self._done_beyond.update(numbers)
        while self._all_done_below in self._done_beyond:
            self._done_beyond.discard(self._all_done_below)
            self._all_done_below += 1

    def count_read(self) -> tuple[int, int]:
        """Return how many outcomes, of how many bytes, have been read since the last call."""
        noted = [self._noted.popleft() for _ in range(len(self._noted))]
        return sum(outcomes for outcomes, _ in noted), sum(size for _, size in noted)

    def wait(self, waiter: Waiter) -> bool:
        """Answer a waiter at once and return False; or keep it and return True."""
        answer = self._answer_to(waiter)
        if answer is None:
            self._waiters = [one for one in self._waiters if not one.is_gone]
            self._waiters.append(waiter)
            return True
        waiter.answer(answer)
        return False

    @property
    def is_closed(self) -> bool:
        """Whether nobody will read what comes here."""
        return self._error is not None

    @property
    def without_outcome(self) -> int:
        """How many tasks have come to the engine, and have no outcome."""
        return self._added - self._done

    @property
    def has_waiters(self) -> bool:
        """Whether readers wait, or have waited since outcomes came last."""
        return bool(self._waiters)

    def answer_waiters(self) -> None:
        """Answer those for whom there is something now."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            self.wait(waiter)

    def stop(self) -> None:
        """Have readers told that too many tasks have failed, when they have read what has come."""
        self._is_stopped = True

    def go_on(self) -> None:
        """Take :meth:`stop` back."""
        self._is_stopped = False

    def give_up(self, error: Error) -> bool:
        """Answer all waiters with an error; return whether one of them still waits to raise it."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.answer(error)
        return not all(waiter.is_gone for waiter in waiters)

    def close(self, error: Error) -> None:
        """Answer all waiters, now and from now on, with an error; what has come counts as read."""
        self._error = error
        self.give_up(error)
        for number in list(self._deliveries):
            delivery = self.claim(number, None)
            if delivery is not None:
                self._noted.append((1, delivery.outcome.size_bytes))

    def _answer_to(self, waiter: Waiter) -> Answer | None:
        wanted = waiter.wanted
        if self._error is not None:
            return self._error
        if wanted is None and self._deliveries:
            if not self._order:  # a reader was interrupted, or is still opening what it took
                self._order.extend(list(self._deliveries))
            return LookAgain()
        if wanted is not None and wanted < self._all_done_below:
            return LookAgain()  # it is there, or another reader has had it
        if self._is_stopped:
            return Stopped()
        return Complete() if self._done == self._added else None

    # ---- the user's side

    @property
    def has_unread(self) -> bool:
        """Whether tasks have been added, as far as is known, whose outcomes have not been read."""
        return self._error is None and not self._is_complete()

    def take(
        self, *, in_order: bool = False, waits: bool = True, timeout_s: float | None = None
    ) -> Deliver | None:
        """Return the next delivery, waiting for it; None if no task is without an outcome.

        Without waiting, None also says that it has not come yet.

        It stays here until it is claimed; of several readers that were given the same, one can.
        Raises the error that the engine gives when waiting is hopeless, Stopped when too many tasks
        have failed, and ResultTimeoutError when it has not come within so many seconds.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            delivery = self._next_in_order() if in_order else self._next_arrived()
            if delivery is not None:
                return delivery
            if not waits or self._is_complete():
                return None  # when complete, as the engine would answer
            waiter = Waiter(self._next if in_order else None)
            self._ask(waiter)
            answer = waiter.wait(self._check, until)
            if answer is None:
                raise ResultTimeoutError(
                    f"no result has come for {timeout_s:g} s, of {self._outstanding} tasks "
                    "that have no outcome: read on to wait longer; manager.slaves says what each "
                    "slave is doing",
                    timeout_s=timeout_s,
                )
            if isinstance(answer, Complete):
                return None
            if isinstance(answer, (Error, Stopped)):
                raise answer

    def _is_complete(self) -> bool:
        """Whether it is certain that all outcomes have been read."""
        if self._deliveries or self._error is not None or self._is_stopped:
            return False
        return self._outstanding == 0

    @property
    def offered(self) -> int:
        """How many numbers have been given to tasks."""
        return len(_NUMBERS) - length_hint(self._numbers)

    @property
    def _outstanding(self) -> int:
        """How many numbers have been given to tasks that have no outcome."""
        return self.offered - self._done

    def numbering(self, task: Task) -> Iterator[Task]:
        """Return an iterator over a task alone, which has its number when it is taken out.

        In any thread. All of that happens in one step, within C code, together with what is done
        there with the task: no Ctrl-C leaves a number that no task has, nor another thread a number
        that two have.
        """
        return compress((task,), map(not_, map(_set_number, (task,), self._numbers)))

    def note_read(self, delivery: Deliver) -> None:
        """A delivery is about to be claimed: its credit is free."""
        self._noted.append((1, delivery.outcome.size_bytes))
        if len(self._noted) % self._nudge_every == 0:
            self._nudge()

    def unnote_read(self, delivery: Deliver) -> None:
        """Take :meth:`note_read` back: another reader has claimed the delivery, and noted it."""
        self._noted.append((-1, -delivery.outcome.size_bytes))

    def give_back(self, delivery: Deliver) -> None:
        """Let a delivery that was taken and not claimed be the next to be taken."""
        self._order.appendleft(delivery.task.number)

    def _next_arrived(self) -> Deliver | None:
        while True:
            try:
                number = self._order.popleft()
            except IndexError:
                return None
            delivery = self._deliveries.get(number)
            if delivery is not None:  # else it was read in order
                return delivery

    def _next_in_order(self) -> Deliver | None:
        self._forget_numbers()
        while True:
            number = self._next
            has_come = number < self._all_done_below  # to be asked first: it may come meanwhile
            delivery = self._deliveries.get(number)
            if delivery is not None or not has_come:
                return delivery
            # It has been claimed, as all before it: only now, since a Ctrl-C may prevent a claim.
            # Not ``+= 1``: another reader may have been here meanwhile.
            self._next = number + 1

    def _forget_numbers(self) -> None:
        """Drop numbers of what was read in order, so that they don't pile up."""
        try:
            while self._order[0] not in self._deliveries:
                self._order.popleft()
        except IndexError:
            pass  # that was the last


def _may_fail_later(delivery: Deliver) -> bool:
    """Whether an error may have to tell of a task that has given a value, and it is cheap to know.

    A value whose pickle refers to code may fail when it is unpickled. Plain values do not.
    """
    payload, pickled = delivery.task.payload, delivery.outcome.content[0]
    return (
        len(payload) == 1
        and len(payload[0]) <= _KEPT_BYTES
        and (type(pickled) is not bytes or pickle.STACK_GLOBAL in pickled)
    )
