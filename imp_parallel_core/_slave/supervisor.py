"""The supervisor: holds the connection to the master, and outlives the runner.

Single-threaded, never runs or unpickles anything of the user's: so it answers the master even
while a C extension holds the runner's interpreter lock for an hour, and can say how a runner died.
The loop waits for the master, the runner, a signal or the clock, and handles one at a time.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence

from .._errors import ProtocolError
from .._light_typing import Any
from .._wire import heads, protocol
from .._wire.protocol import Message
from .._wire.stream import Stream
from . import process
from .master_link import EXIT_NO_RUNNER, EXIT_OK, MasterLink, say
from .runner_process import RunnerEnd, RunnerProcess
from .runner_start import StartedRunner, Surroundings
from .signals import Signals

_START_LIMIT = 2  # runners that may die in a row before they are ready
_IDLE_LOSS_LIMIT = 10  # runners that may die in a row while they are at nothing
_EXIT_GRACE_S = 0.5
_FAREWELL_S = 5.0
_LATE_STOP_S = 10.0  # a stop that was announced may come later by this much
_NEVER = float("inf")
_PAUSE_S, _SHORTEST_PAUSE_S = 0.001, 0.0001
_WARNINGS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGHUP}


class Supervisor:
    """One slave's supervisor.

    Args:
        stream: the bytes to and from the master.
        dial: makes another stream within so many seconds, or ends the process with SystemExit; for
            streams that are resumable.
        identity: what the slave says of itself in its HELLO (see docs/protocol.md).
        surroundings: what tasks are to find.
        code_path: the folder that this package is in.
        runner: the first runner, which has been started already.
        notify_s: how long before it stops or ends the slave a batch system warns it; None if there
            is no batch system.
    """

    def __init__(
        self,
        stream: Stream,
        dial: Callable[[float], Stream],
        identity: dict[str, Any],
        surroundings: Surroundings,
        code_path: str,
        runner: StartedRunner,
        notify_s: float | None = None,
    ) -> None:
        self._notify_s = notify_s
        self._surroundings = surroundings
        self._code_path = code_path
        self._selector = selectors.DefaultSelector()
        self._exit_code: int | None = None
        self._is_leaving = False
        self._leaves_at = _NEVER  # if the master does not say LEAVE before
        self._pauses_until = _NEVER  # if it does not go on before; _NEVER when it is not paused
        self._turned_at = time.monotonic()
        self._discards = False  # what the master sends is still meant for the runner that died
        self._failed_starts = 0
        self._idle_losses = 0
        self._runner = self._hold(runner)
        process.adopt_orphans()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the master's
        caught = {signal.SIGCHLD, signal.SIGCONT, *_WARNINGS}
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
        self._reap()  # it may have died before its end was watched for

    def run(self) -> int:
        """Work until the master says so or has gone; return the exit code."""
        while self._exit_code is None:
            # (when its time is over, it may have been stopped: then the signal says so)
            for key, events in self._selector.select(self._wait_s()) or self._selector.select(0):
                key.data(events)
            now = self._turned_at = time.monotonic()
            self._runner.kill_if_overdue(now)
            self._master.by_the_clock(now)
            if now >= self._pauses_until:
                self._begin_to_leave(_warned_by(signal.SIGUSR1))  # so it was no stop's
            self._master.flush()
            self._runner.flush()
            self._leave_if_done()
            pause_s = min(self._runner.take_work_left_s() / 4, _PAUSE_S)
            if pause_s > _SHORTEST_PAUSE_S:
                time.sleep(pause_s)  # more values come meanwhile, and are passed on as one
        self._master.finish()
        self._end_runner()
        self._master.close()
        self._selector.close()
        self._signals.close()
        return self._exit_code

    def _wait_s(self) -> float:
        ends = min(self._leaves_at, self._pauses_until)
        due = min(self._master.deadline, self._runner.deadline, ends) - time.monotonic()
        return max(0.0, min(due, 3600.0))

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
        elif kind == protocol.NEXT_RUNNER:
            self._discards = False
        elif self._discards:
            return
        elif kind == protocol.TASKS:
            tasks = heads.unpack_tasks(head)
            self._give(message, tasks.items, tasks.timeout_s)
        elif kind == protocol.SETUP:
            setup = heads.unpack_setup(head)
            self._give(message, [setup.item], setup.timeout_s)
        elif kind in (protocol.BUNDLE, protocol.KEEP):
            self._runner.pass_on(message)
        elif kind in (protocol.CLOSE_CONTEXT, protocol.FORGET):
            self._runner.give(message, [])
        elif kind == protocol.TAKE_BACK:
            self._hand_back(self._runner.take_back())
        elif kind == protocol.END_ATTEMPT:
            self._runner.end_item(heads.unpack_item(head))
        else:
            self._master.give_up(f"it sent a message of the unknown kind {kind}")

    def _give(self, message: Message, items: Sequence[int], timeout_s: float) -> None:
        if self._is_leaving or self._pauses_until != _NEVER:
            self._hand_back(items)  # sent before the master knew
        else:
            self._runner.give(message, items, timeout_s)

    def _hand_back(self, items: Sequence[int]) -> None:
        self._master.send(protocol.TAKEN_BACK, heads.pack_items(items))

    # ---- from the runner

    def _hold(self, started: StartedRunner) -> RunnerProcess:
        return RunnerProcess(
            started, self._surroundings, self._selector, self._runner_is_ready, self._report
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
        for number in numbers & _WARNINGS:
            if number == signal.SIGUSR1 and self._notify_s and self._master.is_welcome:
                self._pause(self._notify_s)
            else:
                self._begin_to_leave(_warned_by(number))
        if signal.SIGCONT in numbers:
            self._go_on()
        self._reap()

    def _pause(self, notify_s: float) -> None:
        """The slave will be stopped or ended soon, nobody knows which: be prepared for both."""
        if self._is_leaving or self._pauses_until != _NEVER:
            return
        self._pauses_until = time.monotonic() + notify_s + _LATE_STOP_S
        reason = _warned_by(signal.SIGUSR1)
        say(f"{reason}; this slave takes no tasks until it is known what for")
        self._master.send(protocol.PAUSED, b"", [reason.encode()])
        self._hand_back(self._runner.take_back())

    def _go_on(self) -> None:
        """The slave was stopped, and is not any more."""
        self._runner.was_stopped(time.monotonic() - self._turned_at)
        if self._pauses_until != _NEVER:
            self._pauses_until = _NEVER
            say("this slave was stopped, and goes on")
            self._master.send(protocol.RESUMED)

    def _begin_to_leave(self, reason: str) -> None:
        """The slave will be ended from outside: hand back what has not begun, take no more."""
        if self._is_leaving:
            return
        self._is_leaving = True
        self._pauses_until = _NEVER
        say(f"{reason}; this slave takes no more tasks")
        if self._master.is_welcome:
            self._master.send(protocol.LEAVING, b"", [reason.encode()])
            self._hand_back(self._runner.take_back())

    def _leave_if_done(self) -> None:
        """Leave if that was announced, nothing runs, and the master has been sent all there is.

        It says LEAVE when it has received that: a stream that is closed before may lose the rest.
        """
        if not self._is_leaving or (self._runner.is_busy and not self._runner.has_ended):
            return
        if not self._master.is_welcome or time.monotonic() >= self._leaves_at:
            self._leave(EXIT_OK)
        elif self._master.has_all and self._leaves_at == _NEVER:
            self._leaves_at = time.monotonic() + _FAREWELL_S

    def _reap(self) -> None:
        """Wait for children that have ended: the runner, or orphans of its tasks."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._runner.pid:
                self._runner_ended(self._runner.reaped(status, _peak_memory_bytes(usage)))

    def _runner_ended(self, end: RunnerEnd) -> None:
        process.kill_orphans(_EXIT_GRACE_S)
        if self._exit_code is None and self._may_go_on(end):
            self._report_loss(end)
            if not self._is_leaving:
                self._runner = self._hold(self._start_runner())

    def _start_runner(self) -> StartedRunner:
        return StartedRunner.spawned(self._code_path, is_warned=self._notify_s is not None)

    def _may_go_on(self, end: RunnerEnd) -> bool:
        """Count losses that no task is to blame for; too many of them are the end."""
        if not self._runner.is_ready:
            self._failed_starts += 1
            say(f"the runner {end.description} before it was ready")
        elif not end.blamed_item:
            self._idle_losses += 1
        if self._failed_starts >= _START_LIMIT or not self._master.is_welcome:
            self._exit_code = EXIT_NO_RUNNER
        elif self._idle_losses > _IDLE_LOSS_LIMIT:
            say(f"{self._idle_losses} runners in a row died while they were at nothing")
            self._exit_code = EXIT_NO_RUNNER
        return self._exit_code is None

    def _report_loss(self, end: RunnerEnd) -> None:
        if not self._runner.is_ready:
            return  # the master has not heard of it
        head = heads.RunnerLostHead(end.blamed_item, end.peak_memory_bytes, end.was_asked)
        text = end.description.encode()
        self._master.send(protocol.RUNNER_LOST, heads.pack_runner_lost(head), [text])
        self._discards = True

    # ---- the end

    def _end_runner(self) -> None:
        """Ask the runner to end if it is between two items, wait, kill; then its orphans."""
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


def _warned_by(number: int) -> str:
    return f"received {signal.Signals(number).name}"


def _peak_memory_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
