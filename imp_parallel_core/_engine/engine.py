"""The engine: what the user's threads ask for, done in a thread of its own.

The only place where the scheduler, which decides, meets the world, in which things happen. It moves
opaque bytes: the user's objects are pickled and unpickled in the user's threads, never here.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from .._errors import Error
from .._fleet.fleet import Fleet
from .._fleet.record import SlaveRecord
from .._fleet.state import SlaveState
from .._fleet.withdrawals import Withdrawals
from .._loop import Loop
from .._plugins.registry import Plugins
from .._scheduler.policy import Policy
from .._scheduler.scheduler import Scheduler
from .._scheduler.tasks import Task
from .._wire.link import close_quietly
from .ending import Ending
from .observers import Observers
from .performer import Performer
from .readers import Readers
from .vain_waits import WaitingNotice

if TYPE_CHECKING:
    from .._fleet.info import SlaveInfo
    from .._wire.stream import Stream
    from .context_requests import ContextRequests
    from .served_context import ServedContext
    from .telling import Telling
    from .witness import Witness

_logger = logging.getLogger("imp_parallel.engine")

_where_to = attrgetter("context", "inbox")

_CLOSE_GRACE_S = 1.0
_CLOSE_S = 5.0


class Engine:
    """Moves work between the user's threads and the slaves.

    Args:
        plugins: who launches slaves and observes.
        policy: the scheduler's bounds.
    """

    def __init__(self, plugins: Plugins, policy: Policy) -> None:
        self.ending = Ending()
        self._observers = Observers(plugins.observers())
        self._witness: Witness | None = None
        if self._observers:
            from .telling import Telling  # most runs have no observer
            from .witness import Witness

            self._witness = Witness(policy, Telling(self._observers))
        self._scheduler = self._witness or Scheduler(policy)
        self._performer = Performer(self._witness)
        self._perform = self._performer.perform
        self._loop: Loop[Task] = Loop(
            "imp_parallel engine", self._take, self._turned, self._scheduler.next_tick, self._end
        )
        self._fleet = Fleet(
            self._scheduler, self._perform, plugins, self._loop, self._slave_changed
        )
        self._performer.fleet = self._fleet
        if self._witness is not None:
            self._witness.telling.records = self._fleet.records
            self._witness.telling.call_at = self._loop.call_at
        self._readers = Readers(self._scheduler, self._performer, self._fleet)
        self._withdrawals = Withdrawals(self._fleet, self._loop.call_at, self._readers.demand)
        self.released_parts: deque[tuple[int, int]] = deque()
        """Contexts and numbers of large parts that no task refers to any more; from any thread."""
        self._notice = WaitingNotice(self._has_joined, self.slaves)
        _all_engines.add(self)
        self._loop.start()

    # ---- called from the user's threads

    def launch(self, records: Sequence[SlaveRecord]) -> None:
        """Launch slaves of one description."""

        def launch() -> None:
            self._fleet.launch(records)
            self._withdrawals.begin()

        self._loop.post(launch)

    def accept(self, index: int, stream: Stream) -> None:
        """Take a slave's stream from a transport, in any thread. Raises TypeError."""
        number: object = index
        if not isinstance(number, int):  # which may not fail in the engine's thread
            close_quietly(stream)
            raise TypeError(f"accept takes the number of a slave, and not {index!r}")
        self._loop.post(lambda: self._fleet.stream_made(index, stream))
        if self._loop.is_over:  # nobody may be there to take it
            close_quietly(stream)

    def open_context(self, context: ServedContext) -> ContextRequests:
        """Serve a context from now on; return what passes on requests for it."""
        from .context_requests import ContextRequests  # slaves can start already

        id, options = context.id, context.options

        def open_it() -> None:
            self._performer.contexts[id] = context
            opened = self._scheduler.context_opened(
                id,
                options.max_attempts,
                options.setup_timeout_s,
                options.task_timeout_s,
                options.max_failures,
                options.max_tasks_per_runner,
            )
            self._perform(opened)
            if self._witness is not None and context.name:
                self._witness.telling.opened(context)

        self._loop.post(open_it)
        return ContextRequests(
            context,
            self._loop,
            self._scheduler,
            self._perform,
            self._readers,
            check_reader=self._check_reader,
        )

    def _check_reader(self) -> None:
        """Look, every second or so, after a thread that waits. Raises ClosedError."""
        self.ending.check()
        self._notice.look(time.monotonic())

    def close_context(self, id: int) -> None:
        """Forget a context, its tasks and its values."""
        self._loop.post(lambda: self._readers.context_closed(id))

    def slaves(self) -> list[SlaveInfo]:
        """Return what each slave is doing; once this has been closed, how each was at the end."""
        slaves = self._loop.ask(self._describe_slaves) if self._loop.is_alive() else None
        return self._describe_slaves() if slaves is None else slaves  # nothing changes any more

    def count_slaves(self) -> int:
        """Return how many slaves there are, or are to come."""
        records = list(self._fleet.records.values())
        return sum(record.life.state is not SlaveState.GONE for record in records)

    def slave_names(self, index: int) -> tuple[str, str]:
        """Return a slave's name and its host's, for error messages."""
        record = self._fleet.records[index]
        return record.name, record.life.host

    def close(self) -> None:
        """End all slaves and the thread. Bounded; may be called twice, from any thread."""
        if self.ending.is_forked:
            return
        is_elsewhere = threading.current_thread() is not self._loop
        try:
            self.ending.close()
            self._loop.stop()
            if is_elsewhere:
                self._wait_for_end()
        finally:  # a Ctrl-C may have cut that short, and observers may hold the terminal
            self._loop.stop()
            if is_elsewhere and self._witness is not None:
                self._tell_end(self._witness.telling)

    def _wait_for_end(self) -> None:
        deadline = time.monotonic() + _CLOSE_S
        self._loop.join(_CLOSE_S)
        busy = self._fleet.join(deadline)
        if busy:
            _logger.warning("still ending after %g s: %s", _CLOSE_S, ", ".join(busy))

    def _tell_end(self, telling: Telling) -> None:
        try:
            self._loop.join(_CLOSE_GRACE_S)  # what it tells comes before the last event
        finally:
            telling.run_ended()
            self._observers.close()

    def forked(self) -> None:
        """Give everything up: this process is a forked child, and the parent goes on."""
        self.ending.fork()
        self._abandon()

    def _abandon(self) -> None:
        """Close this process's ends of all streams, and let go of what is the script's.

        Otherwise the script's globals would outlive the interpreter's end, and nothing would write
        what is left in the buffers of the files among them.
        """
        for context in self._performer.contexts.values():
            context.forget_code()
        self._fleet.abandon()
        self._loop.abandon()

    # ---- the turns of the loop

    def _take(self, tasks: list[Task]) -> None:
        for (context_id, inbox), some in groupby(tasks, _where_to):
            context = self._performer.contexts.get(context_id)
            if context is None:
                continue
            if inbox.is_closed:  # while another thread was adding them
                tasks = [task for task in tasks if task.inbox is not inbox]
                continue
            together = list(some)
            ids = range(context.tasks, context.tasks + len(together))
            context.tasks += len(together)
            inbox.count_added(len(together))
            if self._witness is not None:
                self._witness.telling.added(context, len(together))
            for task, id in zip(together, ids, strict=True):
                number = task.number
                task.id = number if id == number else id  # one object takes less memory
        self._perform(self._scheduler.tasks_added(tasks, time.monotonic()))

    def _turned(self) -> None:
        now = time.monotonic()
        tick = self._scheduler.next_tick()
        if tick is not None and tick <= now:
            self._perform(self._scheduler.tick(now))
        while self.released_parts:
            self._perform(self._scheduler.part_released(*self.released_parts.popleft()))
        self._fleet.flush()
        self._readers.tell()
        self._loop.is_hungry = self._scheduler.has_idle_slaves

    def _end(self, problem: Exception | None) -> None:
        """Leave nobody waiting, and no slave behind."""
        failure = None
        if problem is not None:  # a bug of ours
            _logger.error("the engine failed", exc_info=problem)
            failure = Error(f"the engine failed: {type(problem).__name__}: {problem}")
        error = self.ending.come(failure)
        self._readers.end(error, leaves_them=self.ending.leaves_readers)
        try:
            self._fleet.close(_CLOSE_GRACE_S)
        finally:
            self._abandon()

    # ---- telling

    def _has_joined(self) -> bool:
        """Return whether any slave has ever worked; in any thread."""
        return any(record.life.has_joined for record in list(self._fleet.records.values()))

    def _slave_changed(self, record: SlaveRecord) -> None:
        state, detail = record.life.state, record.life.detail
        _logger.debug("%s: %s %s", record, state.value, detail)
        if self._witness is not None:
            self._witness.tell_state(record.index)
        if state is SlaveState.GONE:
            # after the scheduler has heard of it
            self._loop.post(self._readers.give_up_if_hopeless)

    def _describe_slaves(self) -> list[SlaveInfo]:
        from .slave_list import slave_list  # most runs never ask

        return slave_list(self._fleet.records, self._scheduler, self.ending.at)


_all_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _forked() -> None:
    for engine in list(_all_engines):
        engine.forked()
    _all_engines.clear()


os.register_at_fork(after_in_child=_forked)
