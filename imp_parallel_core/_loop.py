"""The event loop: waits for streams, commands and the clock, in a thread of its own.

=========  ===============================================  =======================================
state      event                                            next state
=========  ===============================================  =======================================
asleep     a stream is ready; a timer is due; ``due`` says  in a turn
           so; ``post``; ``stop``; ``post_quietly``, if
           the loop is hungry
asleep     ``post_quietly``, if it is not                   asleep: the thing waits for a turn
in a turn  ``post``, ``post_quietly``                       in a turn: done in this one or the next
in a turn  its end, and something that was posted waits     in a turn, the next
in a turn  its end, and nothing waits                       asleep
in a turn  its end after ``stop``; a bug raises             over, when ``ended`` has been called
over       ``post``                                         over: nothing need be done any more
=========  ===============================================  =======================================

A loop that has just begun is in a turn.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

_T = TypeVar("_T")
_Thing = TypeVar("_Thing")

_WAY_S = 0.0001
_POSTED_AT_ONCE = 1000  # so that streams are served while a user adds a million tasks


class Loop(threading.Thread, Generic[_Thing]):
    """Runs one turn after the other until it is stopped.

    A turn: what the selector has found, what was posted from other threads, the timers that are
    due; then ``turned``.

    Args:
        name: of the thread.
        take: called with a list of things posted one after the other that are no functions.
        turned: called at the end of each turn.
        due: returns when there is something to do that no timer says (monotonic s), or None.
        ended: called at the end, with the exception that ended it, or None if it was stopped.
    """

    def __init__(
        self,
        name: str,
        take: Callable[[list[_Thing]], None],
        turned: Callable[[], None],
        due: Callable[[], float | None],
        ended: Callable[[Exception | None], None],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.selector = selectors.DefaultSelector()
        self._take = take
        self._turned = turned
        self._due = due
        self._ended = ended
        self._posted: deque[_Thing | Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self._is_stopping = False
        self._is_sleeping = False
        self._is_called = False  # for something that can't wait
        self.is_over = False
        """Whether nothing that is posted from now on need be done any more."""
        self.is_hungry = True
        """Whether things that were posted quietly are wanted at once; ``turned`` says."""
        self._woken, self._wake_up = os.pipe()  # takes half of a socket's time
        for end in (self._wake_up, self._woken):
            os.set_blocking(end, False)
        self.selector.register(self._woken, selectors.EVENT_READ, self._on_wake_up)

    # ---- called from any thread

    def post(self, thing: _Thing | Callable[[], None]) -> None:
        """Have a function run, or another thing taken, in the loop's thread, in order."""
        self._posted.append(thing)
        self._is_called = True
        self._wake()

    def post_quietly(self, things: Iterable[_Thing]) -> None:
        """Post things that can wait for the next turn, unless the loop is hungry.

        If what gives the things is written in C, no Ctrl-C comes between that and their posting.
        """
        self._posted.extend(things)
        if self.is_hungry:
            self._wake()

    def make_way(self) -> None:
        """Let the loop run for a moment, if it is in the middle of a turn.

        A thread that computes keeps the interpreter's lock for 5 ms each time that another wants
        it, and this one wants it after each of a turn's system calls. Called now and then by who
        posts many things.
        """
        if not self._is_sleeping:
            time.sleep(_WAY_S)

    def _wake(self) -> None:
        if self._is_sleeping:
            self._is_sleeping = False
            try:
                os.write(self._wake_up, b"\0")
            except OSError:
                pass  # it has ended, or is being woken by many already
            except BaseException:  # a Ctrl-C: somebody else must wake it then
                self._is_sleeping = True
                raise

    def ask(self, question: Callable[[], _T]) -> _T | None:
        """Run a function in the loop's thread and return what it returns; None if it has ended.

        What it raises is raised here, and does not end the loop.
        """
        answer = _Answer(question)
        self.post(answer)
        while not answer.is_there.wait(0.5):
            if not self.is_alive():
                return None
        if answer.problem is not None:
            raise answer.problem
        return answer.value

    def stop(self) -> None:
        """End the loop after this turn."""
        self._is_stopping = True
        self._wake()

    def abandon(self) -> None:
        """Close this process's descriptors: at the end, or in a forked child."""
        self.selector.close()
        ends, self._wake_up, self._woken = (self._wake_up, self._woken), -1, -1
        for end in ends:
            if end >= 0:
                os.close(end)

    # ---- called from its own thread

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        """Run a function at a monotonic time."""
        heapq.heappush(self._timers, (when, next(self._timer_numbers), function))

    def run(self) -> None:
        """Run turns until :meth:`stop`."""
        problem = None
        try:
            while not self._is_stopping:
                self._turn()
        except Exception as error:  # whoever waits must be told
            problem = error
        self._ended(problem)
        self.is_over = True
        while self._posted:  # somebody may wait for an answer, or something want to be closed
            with contextlib.suppress(Exception):
                self._take_posted()

    def _turn(self) -> None:
        self._is_sleeping = True
        for key, events in self.selector.select(self._wait_s()):
            self._is_sleeping = False
            key.data(events)
        self._is_sleeping = False
        self._take_posted()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        self._turned()

    def _take_posted(self) -> None:
        things: list[_Thing] = []
        self._is_called = False
        for _ in range(min(len(self._posted), _POSTED_AT_ONCE)):
            thing = self._posted.popleft()
            if not callable(thing):
                things.append(thing)
                continue
            if things:
                self._take(things)
                things = []
            thing()
        if things:
            self._take(things)
        if self._posted:
            self._is_called = True

    def _wait_s(self) -> float | None:
        """Return how long to sleep. Called when others know already that this loop may sleep."""
        if self._is_called or self._is_stopping or (self.is_hungry and self._posted):
            return 0.0
        dues = [when for when, _, _ in self._timers[:1]]
        due = self._due()
        if due is not None:
            dues.append(due)
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _on_wake_up(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)


class _Answer(Generic[_T]):
    """A question on its way through the loop."""

    def __init__(self, question: Callable[[], _T]) -> None:
        self.is_there = threading.Event()
        self.value: _T | None = None
        self.problem: Exception | None = None
        self._question = question

    def __call__(self) -> None:
        try:
            self.value = self._question()
        except Exception as problem:  # it is who asked that must know
            self.problem = problem
        self.is_there.set()
