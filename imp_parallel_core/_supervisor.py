"""The supervisor: holds the connection to the master, and outlives the runner.

Single-threaded, never runs or unpickles anything of the user's: so it answers the master even
while a C extension holds the runner's interpreter lock for an hour, and can say how a runner died.
The loop waits for the master, the runner, a signal or the clock, and handles one at a time.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from typing import Any

from . import _messages as messages
from . import _process as process
from . import _protocol as protocol
from ._connection import Connection
from ._errors import ProtocolError
from ._handshake import hello_of, refusal_of
from ._protocol import Message
from ._runner_process import RunnerProcess
from ._stream import Stream, flush, receive

_START_LIMIT = 2  # runners that may die in a row before they are ready
_IDLE_LOSS_LIMIT = 10  # runners that may die in a row while they are at nothing
_EXIT_GRACE_S = 0.5
_LINGER_S = 0.2  # how long a runner may live without its wire
_WARNINGS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGHUP}

EXIT_OK, EXIT_NO_RUNNER, EXIT_REFUSED = 0, 1, 3


def say(text: str) -> None:
    """Write a line for people into the slave's output."""
    print(f"imp_parallel: {text}", file=sys.stderr, flush=True)


class Supervisor:
    """One slave's supervisor.

    Args:
        stream: the bytes to and from the master.
        identity: what the slave says of itself in its HELLO (see docs/protocol.md).
        sys_path: the master's ``sys.path``.
        code_path: the folder that this package is in.
    """

    def __init__(
        self, stream: Stream, identity: dict[str, Any], sys_path: list[str], code_path: str
    ) -> None:
        self._stream = stream
        self._identity = identity
        self._sys_path = sys_path
        self._code_path = code_path
        self._connection = Connection()
        self._selector = selectors.DefaultSelector()
        self._exit_code: int | None = None
        self._is_welcome = False
        self._is_leaving = False
        self._discards = False  # what the master sends is still meant for the runner that died
        self._heartbeat_s = 10.0
        self._ping_at = float("inf")
        self._runners = 0
        self._failed_starts = 0
        self._idle_losses = 0
        self._runner_wire_ended_at: float | None = None
        self._runner = RunnerProcess(sys_path, code_path)  # first of all: it takes longest
        process.adopt_orphans()
        self._watch_signals()
        self._watch_runner()
        self._selector.register(_descriptor(stream), selectors.EVENT_READ, self._from_master)

    def run(self) -> int:
        """Work until the master says so or has gone; return the exit code."""
        while self._exit_code is None:
            for key, events in self._selector.select(self._wait_s()):
                key.data(events)
            self._by_the_clock(time.monotonic())
            self._write()
        self._end_runner()
        self._stream.close()
        return self._exit_code

    # ---- waiting

    def _watch_signals(self) -> None:
        wake_up, self._signals = socket.socketpair()
        for end in (wake_up, self._signals):
            end.setblocking(False)
        signal.set_wakeup_fd(wake_up.fileno(), warn_on_full_buffer=False)
        self._wake_up = wake_up  # keep it open
        for number in {signal.SIGCHLD, *_WARNINGS}:
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the master's
        self._selector.register(self._signals, selectors.EVENT_READ, self._from_signals)
        self._signals_arrived(b"")  # the runner may have died before its end was watched for

    def _watch_runner(self) -> None:
        self._runners += 1
        self._runner_wire_ended_at = None
        descriptor = _descriptor(self._runner.stream)
        self._selector.register(descriptor, selectors.EVENT_READ, self._from_runner)

    def _wait_s(self) -> float:
        due = [self._ping_at]
        if self._runner.deadline is not None:
            due.append(self._runner.deadline)
        if self._runner_wire_ended_at is not None:
            due.append(self._runner_wire_ended_at + _LINGER_S)
        return max(0.0, min(min(due) - time.monotonic(), 3600.0))

    def _by_the_clock(self, now: float) -> None:
        self._runner.kill_if_overdue(now)
        ended_at = self._runner_wire_ended_at
        if ended_at is not None and now >= ended_at + _LINGER_S:
            self._runner.kill("closed its connection to the supervisor")
        if now >= self._ping_at:
            self._ping_at = now + self._heartbeat_s
            self._connection.send_control(protocol.PING)

    def _write(self) -> None:
        try:
            flush(self._stream, self._connection)
        except OSError:
            self._master_has_gone()
        self._runner.flush()
        self._want_write(self._stream, self._connection)
        if self._runner_wire_ended_at is None:
            self._want_write(self._runner.stream, self._runner.connection)

    def _want_write(self, stream: Stream, connection: Connection) -> None:
        key = self._selector.get_key(_descriptor(stream))
        events = selectors.EVENT_READ
        if connection.has_unsent:
            events |= selectors.EVENT_WRITE
        if key.events != events:
            self._selector.modify(key.fileobj, events, key.data)

    # ---- from the master

    def _from_master(self, events: int) -> None:
        if not events & selectors.EVENT_READ:
            return
        try:
            arrived = receive(self._stream, self._connection)
        except OSError:
            arrived = None
        except ProtocolError as problem:
            say(f"the master broke the protocol: {problem}")
            arrived = None
        if arrived is None:
            self._master_has_gone()
            return
        for kind, body in self._connection.handshake:
            self._greeted(kind, body)
        self._connection.handshake.clear()
        for message in arrived:
            self._obey(message)

    def _master_has_gone(self) -> None:
        if self._exit_code is None:
            say("the master has gone; this slave leaves")
            self._exit_code = EXIT_OK

    def _greeted(self, kind: int, body: bytes) -> None:
        if kind == protocol.REFUSE:
            say(f"the master refused this slave: {json.loads(body)['reason']}")
            self._exit_code = EXIT_REFUSED
            return
        welcome = json.loads(body)
        reason = refusal_of(welcome, self._identity)
        if reason:
            say(reason)
            self._exit_code = EXIT_REFUSED
            return
        self._is_welcome = True
        self._heartbeat_s = welcome["heartbeat_timeout_s"] / 3
        self._ping_at = time.monotonic() + self._heartbeat_s
        self._announce_runner()

    def _obey(self, message: Message) -> None:
        kind, head, _ = message
        if kind == protocol.LEAVE:
            self._exit_code = EXIT_OK
        elif kind == protocol.NEXT_RUNNER:
            self._discards = False
        elif self._discards:
            return
        elif kind == protocol.TASKS:
            items = {task.item: task.timeout_s for task in messages.unpack_tasks(head)}
            self._give(message, items)
        elif kind == protocol.SETUP:
            setup = messages.unpack_setup(head)
            self._give(message, {setup.item: setup.timeout_s})
        elif kind == protocol.BUNDLE:
            self._runner.pass_on(message)
        elif kind == protocol.CLOSE_CONTEXT:
            self._runner.give(message, {})
        elif kind == protocol.TAKE_BACK:
            self._hand_back(self._runner.take_back())
        elif kind == protocol.END_ATTEMPT:
            self._runner.end_item(messages.unpack_item(head))
        else:
            raise ProtocolError(f"a message of kind {kind}, which no master sends")

    def _give(self, message: Message, items: dict[int, float]) -> None:
        if self._is_leaving:
            self._hand_back(list(items))  # sent before the master knew
        else:
            self._runner.give(message, items)

    def _hand_back(self, items: list[int]) -> None:
        self._connection.send(protocol.TAKEN_BACK, messages.pack_items(items))

    # ---- from the runner

    def _from_runner(self, events: int) -> None:
        if not events & selectors.EVENT_READ:
            return
        runner = self._runner
        try:
            arrived = receive(runner.stream, runner.connection)
        except OSError:
            arrived = None
        except ProtocolError as problem:
            runner.kill(f"wrote into its own connection to the supervisor ({problem})")
            arrived = None
        if arrived is None:
            self._selector.unregister(_descriptor(runner.stream))
            self._runner_wire_ended_at = time.monotonic()
            return
        if runner.connection.handshake:
            _, body = runner.connection.handshake.pop()
            self._runner_is_ready(json.loads(body))
        for message in arrived:
            self._report(message)

    def _runner_is_ready(self, runner: dict[str, Any]) -> None:
        self._runner.is_ready = True
        self._failed_starts = 0
        if self._is_welcome:
            self._announce_runner()
        else:
            self._identity.update(runner)
            self._connection.send_control(protocol.HELLO, hello_of(self._identity, 0))

    def _announce_runner(self) -> None:
        head = messages.RunnerReadyHead(self._runner.pid, self._runners)
        self._connection.send(protocol.RUNNER_READY, messages.pack_runner_ready(head))

    def _report(self, message: Message) -> None:
        if message.kind == protocol.OUTCOME:
            self._idle_losses = 0
            self._runner.ended(messages.unpack_outcome(message.head).item)
            self._connection.send(message.kind, message.head, message.segments)
            self._leave_if_done()
        elif message.kind == protocol.BEGAN:
            self._runner.began(messages.unpack_item(message.head), time.monotonic())

    # ---- from the system

    def _from_signals(self, events: int) -> None:
        self._signals_arrived(self._signals.recv(4096))

    def _signals_arrived(self, numbers: bytes) -> None:
        for number in set(numbers) & _WARNINGS:
            self._begin_to_leave(f"received {signal.Signals(number).name}")
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._runner.pid:
                self._runner_ended(status, usage)

    def _begin_to_leave(self, reason: str) -> None:
        """The slave will be ended from outside: hand back what has not begun, take no more."""
        if self._is_leaving:
            return
        self._is_leaving = True
        say(f"{reason}; this slave takes no more tasks")
        if self._is_welcome:
            self._connection.send(protocol.LEAVING, b"", [reason.encode()])
            self._hand_back(self._runner.take_back())
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        if self._is_leaving and not self._runner.is_busy:
            self._exit_code = EXIT_OK

    def _runner_ended(self, status: int, usage: resource.struct_rusage) -> None:
        runner = self._runner
        while self._runner_wire_ended_at is None:  # what it wrote before its end counts
            self._from_runner(selectors.EVENT_READ)
        end = runner.reaped(status, _peak_memory_bytes(usage))
        runner.close()
        self._kill_orphans()
        if self._exit_code is not None:
            return
        if not runner.is_ready:
            self._failed_starts += 1
            say(f"the runner {end.description} before it was ready")
            if self._failed_starts >= _START_LIMIT or not self._is_welcome:
                self._exit_code = EXIT_NO_RUNNER
                return
        elif not end.blamed_item:
            self._idle_losses += 1
            if self._idle_losses > _IDLE_LOSS_LIMIT:
                say(f"{self._idle_losses} runners in a row died while they were at nothing")
                self._exit_code = EXIT_NO_RUNNER
                return
        if self._is_welcome and runner.is_ready:
            head = messages.RunnerLostHead(end.blamed_item, end.peak_memory_bytes, end.was_asked)
            self._connection.send(
                protocol.RUNNER_LOST, messages.pack_runner_lost(head), [end.description.encode()]
            )
            self._discards = True
        if self._is_leaving:
            self._exit_code = EXIT_OK
            return
        self._runner = RunnerProcess(self._sys_path, self._code_path)
        self._watch_runner()

    def _kill_orphans(self) -> None:
        """Kill what tasks left behind; whatever those leave becomes ours in turn."""
        deadline = time.monotonic() + _EXIT_GRACE_S
        while time.monotonic() < deadline:
            orphans = process.children_of(os.getpid())
            if not orphans:
                return
            for pid in orphans:
                process.kill_quietly(pid)
            for pid in orphans:
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    pass

    # ---- the end

    def _end_runner(self) -> None:
        """Ask the runner to end if it is between two items, wait, kill; then its orphans."""
        try:
            flush(self._stream, self._connection)
        except OSError:
            pass
        runner = self._runner
        if runner.end is None:
            if runner.is_busy or not runner.is_ready:
                runner.kill("was ended with its slave")
            runner.ask_to_exit()
            deadline = time.monotonic() + _EXIT_GRACE_S
            while self._is_child(runner.pid):
                if time.monotonic() >= deadline:
                    process.kill_quietly(runner.pid)
                self._selector.select(0.01)
        self._kill_orphans()

    def _is_child(self, pid: int) -> bool:
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == 0
        except ChildProcessError:
            return False


def _descriptor(stream: Stream) -> int:
    descriptor = stream.fileno()
    if descriptor is None:
        raise ValueError("a slave's own stream must have a descriptor")
    return descriptor


def _peak_memory_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
