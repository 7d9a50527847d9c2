"""The engine: the master's event loop, in a thread of its own.

The only place where the scheduler, which decides, meets the world, in which things happen. It moves
opaque bytes: the user's objects are pickled and unpickled in the user's threads, never here.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import selectors
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from . import _messages as messages
from . import _protocol as protocol
from ._actions import (
    Action,
    CloseContext,
    Deliver,
    EndAttempt,
    NextRunner,
    OutcomeKind,
    Relaunch,
    SendSetup,
    SendTasks,
    TakeBack,
    Task,
)
from ._errors import ClosedError, Error, NoMoreSlavesError, NoSlaveStartedError
from ._events import ContextDone, Event, SlaveChanged, TaskDone, TaskStarted
from ._fleet import Fleet
from ._inbox import Inbox, Waiter
from ._observers import Observers
from ._plugins import Plugins
from ._scheduler import Scheduler
from ._scheduler_state import Policy
from ._slave_info import SlaveInfo, SlaveState
from ._slave_record import SlaveRecord

if TYPE_CHECKING:
    from ._definitions import DefinitionBook, Segments
    from ._stream import Stream

_logger = logging.getLogger("imp_parallel.engine")
_T = TypeVar("_T")

_COMMANDS_AT_ONCE = 1000  # so that sockets are served while a user adds a million tasks
_CLOSE_GRACE_S = 1.0
_CLOSE_S = 5.0


class EngineContext:
    """What the engine needs of a context in order to serve it."""

    def __init__(
        self, id: int, book: DefinitionBook, setup: tuple[Segments, int], setup_timeout_s: float
    ) -> None:
        self.id = id
        self.book = book
        self.setup = setup
        self.setup_timeout_s = setup_timeout_s
        self.inbox: Inbox
        self.first_task = 0


class Engine:
    """Moves work between the user's threads and the slaves.

    Args:
        plugins: who launches slaves and observes.
        policy: the scheduler's bounds.
    """

    def __init__(self, plugins: Plugins, policy: Policy) -> None:
        self.pid = os.getpid()
        self._scheduler = Scheduler(policy)
        self._observers = Observers(plugins.observers())
        self._fleet = Fleet(
            self._scheduler, self._perform, plugins, self.post, self._call_at, self._slave_changed
        )
        self._contexts: dict[int, EngineContext] = {}
        self._commands: deque[Task | Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self._to_wake: set[Inbox] = set()
        self._wake_up, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._wake_up.setblocking(False)
        self._is_sleeping = False
        self._is_closed = False
        self._is_stopping = False
        self._fleet.selector.register(self._woken, selectors.EVENT_READ, self._on_wake_up)
        self._thread = threading.Thread(target=self._run, name="imp_parallel engine", daemon=True)
        self._thread.start()
        _all_engines.add(self)

    # ---- called from the user's threads

    def check_open(self) -> None:
        """Raise ClosedError if it has been closed, or belongs to this process's parent."""
        if self.pid != os.getpid():
            raise ClosedError(
                "this Manager belongs to the process that made it; a forked child needs its own"
            )
        if self._is_closed:
            raise ClosedError("this Manager has been closed")

    def post(self, command: Task | Callable[[], None]) -> None:
        """Have a task added, or a function run, in the engine's thread, in the order posted."""
        self._commands.append(command)
        if self._is_sleeping:
            self._is_sleeping = False
            with contextlib.suppress(OSError):
                self._wake_up.send(b"\0")

    def ask(self, question: Callable[[], _T]) -> _T:
        """Run a function in the engine's thread and return what it returns.

        Raises ClosedError if the engine has stopped.
        """
        answers: deque[_T] = deque()
        answered = threading.Event()

        def answer() -> None:
            answers.append(question())
            answered.set()

        self.post(answer)
        while not answered.wait(0.5):
            if not self._thread.is_alive():
                raise ClosedError("this Manager has been closed")
        return answers[0]

    def launch(self, records: Sequence[SlaveRecord]) -> None:
        """Launch slaves of one description."""
        self.post(lambda: self._fleet.launch(records))

    def accept(self, index: int, stream: Stream) -> None:
        """Take a slave's stream from a transport."""
        self.post(lambda: self._fleet.stream_made(index, stream))

    def open_context(self, context: EngineContext, max_attempts: int) -> None:
        """Serve a context from now on."""
        context.inbox = Inbox(
            lambda waiter: self.post(lambda: self._reader_waits(context, waiter)),
            lambda count, size: self.post(lambda: self._outcomes_read(context.id, count, size)),
        )

        def open_it() -> None:
            self._contexts[context.id] = context
            self._perform(self._scheduler.context_opened(context.id, max_attempts))

        self.post(open_it)

    def close_context(self, id: int) -> None:
        """Forget a context, its tasks and its values."""
        self.post(lambda: self._context_closed(id))

    def slaves(self) -> list[SlaveInfo]:
        """Return what each slave is doing."""
        return self.ask(self._describe_slaves)

    def slave_names(self, index: int) -> tuple[str, str]:
        """Return a slave's name and its host's, for error messages."""
        record = self._fleet.records[index]
        return record.name, record.host

    def close(self) -> None:
        """End all slaves and the thread. Bounded; may be called twice, from any thread."""
        if self.pid != os.getpid():
            return
        self._is_closed = True
        self.post(self._stop)
        if threading.current_thread() is self._thread:
            return
        deadline = time.monotonic() + _CLOSE_S
        self._thread.join(_CLOSE_S)
        busy = self._fleet.join(deadline)
        if busy:
            _logger.warning("still ending after %g s: %s", _CLOSE_S, ", ".join(busy))
        self._observers.close()

    def abandon(self) -> None:
        """Close this process's ends of all streams; in a forked child, the parent keeps its own."""
        self._fleet.abandon()
        for end in (self._wake_up, self._woken):
            end.close()

    # ---- the loop

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._wait()
                self._run_commands()
                self._by_the_clock(time.monotonic())
                self._fleet.flush()
                self._wake_readers()
        except Exception as problem:  # a bug of ours, but nobody may be left waiting for it
            _logger.exception("the engine failed")
            self._end(Error(f"the engine failed: {type(problem).__name__}: {problem}"))
        else:
            self._end(ClosedError("this Manager has been closed"))

    def _wait(self) -> None:
        self._is_sleeping = True
        wait_s = 0.0 if self._commands else self._wait_s()
        for key, events in self._fleet.selector.select(wait_s):
            self._is_sleeping = False
            key.data(events)
        self._is_sleeping = False

    def _wait_s(self) -> float | None:
        due = [when for when, _, _ in self._timers[:1]]
        tick = self._scheduler.next_tick()
        if tick is not None:
            due.append(tick)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _on_wake_up(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _run_commands(self) -> None:
        tasks: list[Task] = []
        for _ in range(min(len(self._commands), _COMMANDS_AT_ONCE)):
            command = self._commands.popleft()
            if isinstance(command, Task):
                tasks.append(command)
                continue
            if tasks:
                self._perform(self._scheduler.tasks_added(tasks, time.monotonic()))
                tasks = []
            command()
        if tasks:
            self._perform(self._scheduler.tasks_added(tasks, time.monotonic()))

    def _by_the_clock(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        tick = self._scheduler.next_tick()
        if tick is not None and tick <= now:
            self._perform(self._scheduler.tick(now))

    def _call_at(self, when: float, function: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._timer_numbers), function))

    def _wake_readers(self) -> None:
        if self._to_wake:
            for inbox in self._to_wake:
                inbox.wake()
            self._to_wake.clear()

    def _stop(self) -> None:
        self._is_stopping = True

    def _end(self, error: Error) -> None:
        """Leave nobody waiting, and no slave behind."""
        self._is_closed = True
        for context in self._contexts.values():
            context.inbox.close(error)
        self._fleet.close(_CLOSE_GRACE_S)
        self.abandon()
        while self._commands:  # somebody may be waiting for an answer
            command = self._commands.popleft()
            if not isinstance(command, Task):
                with contextlib.suppress(Exception):
                    command()

    # ---- the scheduler's actions

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Deliver():
                    self._deliver(action)
                case SendTasks():
                    self._send_tasks(action)
                case SendSetup():
                    self._send_setup(action)
                case TakeBack(slave):
                    self._fleet.send(slave, protocol.TAKE_BACK)
                case EndAttempt(slave, item):
                    self._fleet.send(slave, protocol.END_ATTEMPT, messages.pack_item(item))
                case NextRunner(slave):
                    self._fleet.send(slave, protocol.NEXT_RUNNER)
                case CloseContext(slave, context):
                    self._fleet.send(slave, protocol.CLOSE_CONTEXT, messages.pack_context(context))
                case Relaunch(slave):
                    self._fleet.relaunch(slave)

    def _send_setup(self, action: SendSetup) -> None:
        record, context = self._fleet.records[action.slave], self._contexts[action.context]
        segments, bundle = context.setup
        self._send_bundles(record, context, bundle)
        head = messages.SetupHead(action.item, context.id, bundle, context.setup_timeout_s)
        self._fleet.send(action.slave, protocol.SETUP, messages.pack_setup(head), segments)

    def _send_tasks(self, action: SendTasks) -> None:
        record = self._fleet.records[action.slave]
        context = self._contexts[action.tasks[0][1].context]
        heads: list[messages.TaskHead] = []
        segments: list[Any] = []
        for item, task in action.tasks:
            self._send_bundles(record, context, task.bundle)
            payload = task.payload
            heads.append(
                messages.TaskHead(item, context.id, task.bundle, task.timeout_s, len(payload))
            )
            segments += payload
            if self._observers:
                self._tell(TaskStarted(time.monotonic(), context.id, task.id, record.name))
        self._fleet.send(action.slave, protocol.TASKS, messages.pack_tasks(heads), segments)

    def _send_bundles(self, record: SlaveRecord, context: EngineContext, needed: int) -> None:
        """Send the definitions that a runner lacks; each travels once."""
        sent = record.bundles_sent.get(context.id, 0)
        for number in range(sent + 1, needed + 1):
            head = messages.pack_bundle(messages.BundleHead(context.id, number))
            bundle = context.book.bundles[number - 1]
            self._fleet.send(record.index, protocol.BUNDLE, head, bundle)
        record.bundles_sent[context.id] = max(sent, needed)

    def _deliver(self, action: Deliver) -> None:
        task, outcome = action
        context = self._contexts.get(task.context)
        if context is None:
            return
        if outcome.kind in (OutcomeKind.VALUE, OutcomeKind.RAISED):
            self._fleet.records[outcome.slave].tasks_done += 1
        context.inbox.put(task, task.id, outcome)
        self._to_wake.add(context.inbox)
        if self._observers:
            name = self._fleet.records[outcome.slave].name
            self._tell(TaskDone(time.monotonic(), context.id, task.id, name, outcome.kind.value))

    # ---- readers and contexts

    def _reader_waits(self, context: EngineContext, waiter: Waiter) -> None:
        if not self._scheduler.has_hope:
            waiter.error = self._hopeless()
        self._perform(self._scheduler.reader_waits(context.id, time.monotonic()))
        self._to_wake.add(context.inbox)

    def _give_up_waiting(self) -> None:
        """Tell all that wait, if no slave is left that could bring what they wait for."""
        if self._scheduler.has_hope:
            return
        error = self._hopeless()
        for context in self._contexts.values():
            for waiter in list(context.inbox.waiters):
                waiter.error = error
            self._to_wake.add(context.inbox)

    def _hopeless(self) -> NoMoreSlavesError:
        records = self._fleet.records.values()
        failures = [record.failure for record in records if record.failure]
        if not records:
            return NoMoreSlavesError(
                "tasks are waiting, but this Manager has no slaves: call manager.add_slave(…) first"
            )
        text = "\n".join(f"- {failure}" for failure in failures)
        if any(record.has_joined for record in records):
            return NoMoreSlavesError(
                "tasks are waiting, but no slave is left. The tasks are kept: add a slave and read "
                f"on. How they were lost:\n{text}",
                failures=failures,
            )
        return NoSlaveStartedError(f"no slave could be started:\n{text}", failures=failures)

    def _outcomes_read(self, context: int, count: int, size_bytes: int) -> None:
        now = time.monotonic()
        self._perform(self._scheduler.outcomes_read(context, count, size_bytes, now))

    def _context_closed(self, id: int) -> None:
        if self._contexts.pop(id, None) is not None:
            self._perform(self._scheduler.context_closed(id, time.monotonic()))
            if self._observers:
                self._tell(ContextDone(time.monotonic(), id))

    # ---- telling

    def _slave_changed(self, record: SlaveRecord) -> None:
        _logger.debug("%s: %s %s", record, record.state.value, record.detail)
        if self._observers:
            self._tell(
                SlaveChanged(time.monotonic(), record.name, record.state.value, record.detail)
            )
        if record.state is SlaveState.GONE:
            self.post(self._give_up_waiting)  # after the scheduler has heard of it

    def _tell(self, event: Event) -> None:
        self._observers.tell(event)

    def _describe_slaves(self) -> list[SlaveInfo]:
        now = time.monotonic()
        return [self._describe(record, now) for record in self._fleet.records.values()]

    def _describe(self, record: SlaveRecord, now: float) -> SlaveInfo:
        doing = self._scheduler.doing(record.index)
        if record.state is not SlaveState.IDLE or doing is None:
            return record.info(now)
        what, since = doing
        if isinstance(what, Task):
            return record.info(now, SlaveState.WORKING, since, what.id, what.context)
        return record.info(now, SlaveState.SETTING_UP, since, None, what.context)


_all_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _abandon_all() -> None:
    for engine in list(_all_engines):
        engine.abandon()
    _all_engines.clear()


os.register_at_fork(after_in_child=_abandon_all)
