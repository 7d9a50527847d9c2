"""The supervisor: keeps the session with the master, and outlives its runners.

The supervisor has a single thread, and never runs or unpickles anything of the user's. So it
answers the master even while a C extension holds the runner's interpreter lock for an hour, and it
can tell how a runner has died. Its loop waits for the master, the runner, a signal or the clock.

    ===========  ============================================================================
    state        next state
    ===========  ============================================================================
    starting     serving, when a runner is ready and the master has welcomed the slave;
                 the end, if the master refuses the slave, or if a runner dies
    serving      replacing, when the runner dies; the end, by the master's LEAVE, when the
                 master has gone for good, or when :mod:`.availability` says so
    replacing    serving, when the master says NEXT_RUNNER (its messages are ignored before);
                 the end, if too many runners have died that no item is to blame for
    ===========  ============================================================================
"""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable, Sequence

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING, Any
from .._wire import heads, protocol
from .._wire.protocol import Message
from .._wire.stream import Stream
from . import process
from .availability import Availability
from .batch_warnings import WARNINGS, BatchWarnings
from .master_link import EXIT_NO_RUNNER, EXIT_OK, MasterLink
from .outlet import PIPE
from .output import say
from .runner_process import Limits, RunnerEnd, RunnerProcess
from .runner_start import StartedRunner
from .signals import Signals

if TYPE_CHECKING:
    from .output_pipe import Sink
    from .surroundings import Surroundings

_START_LIMIT = 2  # so many runners in a row that die before they are ready are the slave's end
_IDLE_LOSS_LIMIT = 10  # so many runners in a row may die while they have no item
_EXIT_GRACE_S = 0.5
_PAUSE_S, _SHORTEST_PAUSE_S = 0.001, 0.0001  # between two readings of small values


class Supervisor:
    """One slave's supervisor.

    Args:
        stream: the stream to the master.
        dial: makes another stream within so many seconds, or raises SystemExit.
        identity: the slave's part of its HELLO (see docs/protocol.md).
        surroundings: the surroundings of tasks.
        runner: the first runner, which has been started already.
        notify_s: how long before a stop or end a batch system warns the slave; None without one.
    """

    def __init__(
        self,
        stream: Stream,
        dial: Callable[[float], Stream],
        identity: dict[str, Any],
        surroundings: Surroundings,
        runner: StartedRunner,
        notify_s: float | None = None,
    ) -> None:
        self._surroundings = surroundings
        self._selector = selectors.DefaultSelector()
        self._exit_code: int | None = None
        self._availability = Availability()
        self._turned_at = time.monotonic()  # when the loop turned last
        self._discards = False  # the master's messages are still meant for a runner that has died
        self._failed_starts = self._idle_losses = 0  # of runners, in a row
        self._sink: Sink | None = None
        if runner.outlet == PIPE:
            from .output_pipe import Sink  # most slaves write to a file

            self._sink = Sink(self._selector)
        self._started = runner
        self._runner = self._hold(runner)
        process.adopt_orphans()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the master's
        caught = {signal.SIGCHLD, signal.SIGCONT, *WARNINGS}
        self._signals = Signals(caught, self._selector, self._signalled)
        self._master = MasterLink(
            stream,
            dial,
            identity,
            self._selector,
            welcomed=self._announce_runner,
            received=self._read,
            over=self._leave,
        )
        self._warnings = BatchWarnings(self._master, self._availability, self._take_back, notify_s)
        self._reap()  # the runner may have died before SIGCHLD was caught

    def run(self) -> int:
        """Serve the master until the slave has to leave; return the exit code."""
        while self._exit_code is None:
            # select() may return nothing because this process was stopped; then SIGCONT is there
            ready = self._selector.select(self._wait_s()) or self._selector.select(0)
            # signals first: the master has to know of a warning before what it has done to a task
            ready.sort(key=self._signals.comes_after)
            for key, events in ready:
                if len(ready) == 1 or self._is_still_ready(key):
                    key.data(events)
            now = self._turned_at = time.monotonic()
            self._runner.kill_if_overdue(now)
            self._master.by_the_clock(now)
            self._warnings.by_the_clock(now)
            self._master.flush()
            self._runner.flush()
            if self._availability.is_leaving:
                self._leave_if_done()
            pause_s = min(self._runner.values.take_work_left_s() / 4, _PAUSE_S)
            if pause_s > _SHORTEST_PAUSE_S:
                time.sleep(pause_s)  # meanwhile more values arrive, which travel in one message
        self._master.finish()
        self._end_runner()
        self._master.close()
        if self._sink is not None:
            self._sink.finish()
        self._selector.close()
        self._signals.close()
        return self._exit_code

    def _is_still_ready(self, key: selectors.SelectorKey) -> bool:
        """Whether what was handled before it in this turn, such as a runner's end, has left it."""
        now = self._selector.get_map().get(key.fileobj)
        return now is not None and now.data == key.data

    def _wait_s(self) -> float:
        deadlines = self._master.deadline, self._runner.deadline, self._availability.deadline
        return max(0.0, min(min(deadlines) - time.monotonic(), 3600.0))

    def _leave(self, exit_code: int) -> None:
        if self._exit_code is None:
            self._exit_code = exit_code

    # ---- from the master

    def _read(self, message: Message) -> None:
        try:
            self._obey(message)
        except ProtocolError as problem:
            self._master.give_up(f"it broke the protocol: {problem}")

    def _obey(self, message: Message) -> None:
        kind, head, _ = message
        if kind == protocol.LEAVE:
            self._exit_code = EXIT_OK
            self._master.expect_end()
        elif kind == protocol.NEXT_RUNNER:
            self._discards = False
        elif self._discards:
            return
        elif kind == protocol.TASKS:
            tasks = heads.unpack_tasks(head)
            self._give(message, tasks.items, Limits(tasks.timeout_s, tasks.memory_bytes))
        elif kind == protocol.SETUP:
            setup = heads.unpack_setup(head)
            self._give(message, [setup.item], Limits(setup.timeout_s, setup.memory_bytes))
        elif kind in (protocol.BUNDLE, protocol.KEEP):
            self._runner.pass_on(message)
        elif kind in (protocol.CLOSE_CONTEXT, protocol.FORGET):
            self._runner.give(message, [])
        elif kind == protocol.TAKE_BACK:
            self._take_back()
        elif kind == protocol.END_ATTEMPT:
            self._runner.end_item(heads.unpack_item(head))
        elif kind == protocol.RENEW_RUNNER:
            self._runner.retire()
        else:
            self._master.give_up(f"it sent a message of the unknown kind {kind}")

    def _give(self, message: Message, items: Sequence[int], limits: Limits) -> None:
        if self._availability.takes_tasks:
            self._runner.give(message, items, limits)
        else:
            self._hand_back(items)  # the master sent them before it knew

    def _take_back(self) -> None:
        self._hand_back(self._runner.take_back())

    def _hand_back(self, items: Sequence[int]) -> None:
        self._master.send(protocol.TAKEN_BACK, heads.pack_items(items))

    # ---- from the runner

    def _hold(self, started: StartedRunner) -> RunnerProcess:
        return RunnerProcess(
            started,
            self._surroundings,
            self._selector,
            self._runner_is_ready,
            self._report,
            self._sink,
        )

    def _runner_is_ready(self, cloudpickle: str) -> None:
        self._failed_starts = 0
        if self._master.is_welcome:
            self._announce_runner()
        else:
            self._master.introduce(cloudpickle)

    def _announce_runner(self) -> None:
        if self._runner.is_ready:
            head = heads.RunnerReadyHead(self._runner.pid)
            self._master.send(protocol.RUNNER_READY, heads.pack_runner_ready(head))

    def _report(self, outcome: Message) -> None:
        self._idle_losses = 0
        self._master.send(outcome.kind, outcome.head, outcome.segments)

    # ---- from the system

    def _signalled(self, numbers: set[int]) -> None:
        self._warnings.received(numbers)
        if signal.SIGCONT in numbers:
            self._runner.was_stopped(time.monotonic() - self._turned_at)
            self._warnings.go_on()
        self._reap()

    def _leave_if_done(self) -> None:
        """Leave without the master's LEAVE, if the runner is at nothing, and LEAVE is overdue."""
        is_done = self._runner.has_ended or not self._runner.is_busy
        if is_done and self._warnings.may_leave(time.monotonic()):
            self._leave(EXIT_OK)

    def _reap(self) -> None:
        """Wait for children that have ended: the runner, or orphans of its tasks."""
        while (ended := process.wait_for_ended_child()) is not None:
            if ended.pid == self._runner.pid:
                self._runner_ended(self._runner.reaped(ended.status, ended.peak_memory_bytes))

    def _runner_ended(self, end: RunnerEnd) -> None:
        process.kill_orphans(_EXIT_GRACE_S)
        if self._exit_code is None and self._may_go_on(end):
            self._report_loss(end)
            if not self._availability.is_leaving:
                self._started = self._started.next()
                self._runner = self._hold(self._started)

    def _may_go_on(self, end: RunnerEnd) -> bool:
        """Count losses that no item is to blame for; return whether they are few enough."""
        if not self._runner.is_ready:
            self._failed_starts += 1
            say(f"the runner {end.description} before it was ready")
        elif not end.blamed_item and not end.was_asked:
            self._idle_losses += 1
        if self._failed_starts >= _START_LIMIT or not self._master.is_welcome:
            self._exit_code = EXIT_NO_RUNNER
        elif self._idle_losses > _IDLE_LOSS_LIMIT:
            say(f"{self._idle_losses} runners in a row died while they were at nothing")
            self._exit_code = EXIT_NO_RUNNER
        return self._exit_code is None

    def _report_loss(self, end: RunnerEnd) -> None:
        if not self._runner.is_ready:
            return  # the master does not know this runner
        head = heads.RunnerLostHead(
            end.blamed_item, end.peak_memory_bytes, end.was_asked, end.has_exceeded
        )
        segments = [end.description.encode()]
        if end.output is not None:
            segments.append(end.output)
        self._master.send(protocol.RUNNER_LOST, heads.pack_runner_lost(head), segments)
        self._discards = True

    # ---- the end

    def _end_runner(self) -> None:
        """Ask an idle runner to exit, kill a busy or slow one, and wait for its end."""
        runner = self._runner
        if runner.has_ended:
            return
        if runner.is_busy or not runner.is_ready:
            runner.kill("was ended with its slave")
        runner.ask_to_exit()
        deadline = time.monotonic() + _EXIT_GRACE_S
        while not runner.has_ended:
            if time.monotonic() >= deadline:
                runner.kill("was ended with its slave")
            for key, events in self._selector.select(0.02):
                key.data(events)
            self._reap()
