"""The slaves as the engine sees them: launched, connected, heard, lost.

Turns what happens to slaves into the scheduler's events. Runs in the engine's thread only, but for
the reports of launch threads, which are posted to it.
"""

from __future__ import annotations

import json
import logging
import selectors
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import _messages as messages
from . import _protocol as protocol
from ._actions import Action, Outcome, OutcomeKind
from ._errors import Error, ProtocolError
from ._handshake import PYTHON, refusal, refusal_of, welcome
from ._launch_watch import LaunchReports, LaunchWatch
from ._launching import LaunchPhase, LaunchState
from ._plugins import Plugins
from ._protocol import VERSION, Message
from ._slave_info import SlaveState
from ._slave_record import SlaveRecord
from ._stream import flush, receive

if TYPE_CHECKING:
    from ._scheduler import Scheduler
    from ._stream import Stream

_logger = logging.getLogger("imp_parallel.slaves")

_EXPLAIN_S = 1.0  # how long the scheduler waits for a launch to say how a slave or runner ended
_CHECKS_IN_TIMEOUT = 4
_RECONNECT_S = 60.0


class Fleet:
    """All slaves of a Manager.

    Args:
        scheduler: what to tell about slaves.
        perform: performs the scheduler's actions.
        plugins: who launches.
        post: runs a function in the engine's thread, from any other.
        call_at: runs a function in the engine's thread, at a monotonic time.
        changed: is told a record whose state has changed.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        perform: Callable[[list[Action]], None],
        plugins: Plugins,
        post: Callable[[Callable[[], None]], None],
        call_at: Callable[[float, Callable[[], None]], None],
        changed: Callable[[SlaveRecord], None],
    ) -> None:
        self.records: dict[int, SlaveRecord] = {}
        self.selector = selectors.DefaultSelector()
        self.unflushed: dict[int, SlaveRecord] = {}
        self._scheduler = scheduler
        self._perform = perform
        self._plugins = plugins
        self._reports = _PostedReports(self, post)
        self._call_at = call_at
        self._changed = changed
        self._unexplained: dict[int, Callable[[LaunchState | None, str, str], None]] = {}
        self._watches: list[LaunchWatch] = []

    # ---- launching

    def launch(self, records: Sequence[SlaveRecord]) -> None:
        """Launch slaves that are described by one description."""
        for record in records:
            self.records[record.index] = record
            self._perform(
                self._scheduler.slave_added(record.index, record.description.is_relaunchable)
            )
            self._enter(record, SlaveState.LAUNCHING)
        self._start_watch(records)

    def relaunch(self, index: int) -> None:
        """Launch a slave again that was lost."""
        record = self.records[index]
        _logger.warning("%s is launched again", record.name)
        if record.watch is not None:
            record.watch.cancel(0.0)
        self._enter(record, SlaveState.LAUNCHING)
        self._start_watch([record])

    def _start_watch(self, records: Sequence[SlaveRecord]) -> None:
        bootstraps = [record.bootstrap for record in records]
        watch = LaunchWatch(self._plugins, records[0].description, bootstraps, self._reports)
        for record in records:
            record.watch = watch
        self._watches.append(watch)
        watch.start()

    def launch_failed(self, indices: Sequence[int], error: Exception) -> None:
        """A plugin could not launch slaves."""
        text = str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
        for index in indices:
            self._lost(self.records[index], text, is_charged=False)

    def launch_state(self, index: int, state: LaunchState) -> None:
        """A launch has news of a slave that has not connected."""
        record = self.records[index]
        if record.host or record.state is SlaveState.GONE:
            return
        if state.phase is LaunchPhase.ENDED:
            self._explain_end(record)
        elif state.phase is LaunchPhase.QUEUED:
            self._enter(record, SlaveState.QUEUED, state.detail)
        else:
            self._enter(record, SlaveState.LAUNCHING, state.detail)
            due = time.monotonic() + record.connect_timeout_s
            self._call_at(due, lambda: self._check_connected(record))

    def _check_connected(self, record: SlaveRecord) -> None:
        if record.state is SlaveState.LAUNCHING and not record.host:
            seconds = record.connect_timeout_s
            text = f"it was started, but did not connect within {seconds:g} s (connect_timeout)"
            self._explain(record, lambda *answer: self._lost_with(record, text, False, *answer))

    # ---- connections

    def stream_made(self, index: int, stream: Stream) -> None:
        """A slave's stream is there; the slave introduces itself over it."""
        record = self.records[index]
        if record.state is SlaveState.GONE:
            stream.close()
            return
        record.connect(stream)
        descriptor = stream.fileno()
        if descriptor is None:
            raise NotImplementedError("streams without a descriptor")
        self.selector.register(
            descriptor, selectors.EVENT_READ, lambda events: self._ready(record, events)
        )

    def _ready(self, record: SlaveRecord, events: int) -> None:
        if record.stream is None:
            return
        self.unflushed[record.index] = record
        if not events & selectors.EVENT_READ:
            return
        try:
            arrived = receive(record.stream, record.connection)
        except OSError as problem:
            self._stream_ended(record, f"its connection broke: {problem}")
            return
        except ProtocolError as problem:
            self._stream_ended(record, f"it broke the protocol: {problem}")
            return
        if arrived is None:
            self._stream_ended(record, "its connection ended")
            return
        record.heard_at = time.monotonic()
        if record.state is SlaveState.SUSPECTED:
            _logger.warning("%s is heard again", record)
            self._enter(record, SlaveState.CONNECTED)
            self._perform(self._scheduler.slave_heard(record.index, record.heard_at))
        for kind, body in record.connection.handshake:
            self._introduced(record, kind, body)
        record.connection.handshake.clear()
        for message in arrived:
            if record.held is not None:
                record.held.append(message)
            else:
                self._receive(record, message)

    def _introduced(self, record: SlaveRecord, kind: int, body: bytes) -> None:
        """Compare versions with a slave, before anything of it is unpickled."""
        try:
            if kind != protocol.HELLO:
                raise ValueError("it did not begin with a HELLO")
            hello: dict[str, Any] = json.loads(body)
            host, pid = str(hello["host"]), int(hello["pid"])
        except (ValueError, KeyError, TypeError) as problem:
            self._stream_ended(record, f"its introduction can't be read: {problem}")
            return
        import cloudpickle

        own = {"protocol": VERSION, "python": PYTHON, "cloudpickle": cloudpickle.__version__}
        reason = refusal_of(hello, own)
        if reason is not None:
            record.connection.send_control(protocol.REFUSE, refusal(reason))
            self._flush(record)
            self._stream_ended(record, reason)
            return
        record.host, record.pid = host, pid
        greeting = welcome(cloudpickle.__version__, record.heartbeat_timeout_s, _RECONNECT_S)
        record.connection.send_control(protocol.WELCOME, greeting)
        self._enter(record, SlaveState.CONNECTED)
        if record.watch is not None:
            record.watch.connected(record.index)
        self._check_heard(record)

    def _check_heard(self, record: SlaveRecord) -> None:
        """Suspect a slave that has been silent for too long; ask again later."""
        if record.stream is None:
            return
        now = time.monotonic()
        silent_s = now - record.heard_at
        if silent_s >= record.heartbeat_timeout_s and record.state is not SlaveState.SUSPECTED:
            _logger.warning("%s has not been heard for %.1f s", record, silent_s)
            self._enter(record, SlaveState.SUSPECTED, f"not heard for {silent_s:.0f} s")
            self._perform(self._scheduler.slave_suspected(record.index, now))
        stream = record.stream

        def check_again() -> None:
            if record.stream is stream:
                self._check_heard(record)

        self._call_at(now + record.heartbeat_timeout_s / _CHECKS_IN_TIMEOUT, check_again)

    def flush(self) -> None:
        """Write what has been queued, as far as it is taken without waiting."""
        unflushed, self.unflushed = self.unflushed, {}
        for record in unflushed.values():
            self._flush(record)

    def _flush(self, record: SlaveRecord) -> None:
        if record.stream is None:
            return
        try:
            is_done = flush(record.stream, record.connection)
        except OSError:
            return  # reading will tell, and first give what the slave still had to say
        events = selectors.EVENT_READ if is_done else selectors.EVENT_READ | selectors.EVENT_WRITE
        key = self.selector.get_key(record.stream)  # type: ignore[arg-type]  # has a descriptor
        if key.events != events:
            self.selector.modify(key.fileobj, events, key.data)

    # ---- what slaves say

    def _receive(self, record: SlaveRecord, message: Message) -> None:
        kind, head, segments = message
        now, index = record.heard_at, record.index
        if kind == protocol.OUTCOME:
            item, status, duration_s = messages.unpack_outcome(head)
            what = OutcomeKind.VALUE if status == messages.VALUE else OutcomeKind.RAISED
            outcome = Outcome(what, segments, index, sum(map(len, segments)))
            self._perform(self._scheduler.item_ended(index, item, outcome, duration_s, now))
        elif kind == protocol.TAKEN_BACK:
            items = messages.unpack_items(head)
            self._perform(self._scheduler.items_returned(index, items, now))
        elif kind == protocol.RUNNER_READY:
            record.runner_pid = messages.unpack_runner_ready(head).pid
            record.has_joined = True
            self._enter(record, SlaveState.IDLE)
            self._perform(self._scheduler.runner_ready(index, now))
        elif kind == protocol.RUNNER_LOST:
            self._runner_lost(record, head, bytes(segments[0]).decode(errors="replace"))
        elif kind == protocol.LEAVING:
            record.is_leaving = True
            reason = bytes(segments[0]).decode(errors="replace")
            _logger.warning("%s leaves: it %s", record, reason)
            self._enter(record, SlaveState.LEAVING, reason)
            self._perform(self._scheduler.slave_leaving(index))
        else:
            self._stream_ended(record, f"it broke the protocol: a message of kind {kind}")

    def _runner_lost(self, record: SlaveRecord, head: bytes, how: str) -> None:
        lost = messages.unpack_runner_lost(head)
        record.runner_pid = None
        record.bundles_sent.clear()
        self._enter(record, SlaveState.CONNECTED, f"its runner {how}")
        blamed = 0 if lost.was_asked else lost.item
        peak_mb = lost.peak_memory_bytes / 1e6
        cause = f"on {record}, its runner {how}; peak memory {peak_mb:.0f} MB"
        if not blamed:
            self._tell_runner_lost(record, 0, cause)
            return
        _logger.warning("%s: its runner %s", record, how)
        # what follows must wait, for it comes from the next runner
        record.held = []
        self._explain(
            record,
            lambda _state, tail, _command: self._tell_runner_lost(
                record, blamed, cause + _quote_output(record, tail)
            ),
            has_ended=False,
        )

    def _tell_runner_lost(self, record: SlaveRecord, blamed: int, cause: str) -> None:
        held, record.held = record.held, None
        if record.state is SlaveState.GONE:
            return
        self._perform(self._scheduler.runner_lost(record.index, blamed, cause, time.monotonic()))
        for message in held or ():
            self._receive(record, message)

    # ---- ends

    def _stream_ended(self, record: SlaveRecord, how: str) -> None:
        if record.stream is None:
            return
        self._disconnect(record)
        if record.is_leaving:
            self._lost(record, f"left: it {record.detail}", is_charged=False)
        else:
            self._explain(record, lambda *answer: self._lost_with(record, how, True, *answer))

    def _disconnect(self, record: SlaveRecord) -> None:
        if record.stream is not None:
            self.selector.unregister(record.stream)  # type: ignore[arg-type]  # as above
            record.stream.close()
            record.stream = None

    def _explain_end(self, record: SlaveRecord) -> None:
        how = "it ended before it had connected"
        self._explain(record, lambda *answer: self._lost_with(record, how, False, *answer))

    def _explain(
        self,
        record: SlaveRecord,
        then: Callable[[LaunchState | None, str, str], None],
        *,
        has_ended: bool = True,
    ) -> None:
        """Ask a slave's launch for its state and output, but not for longer than a second."""
        index = record.index
        if index in self._unexplained:
            return
        self._unexplained[index] = then
        if record.watch is not None:
            record.watch.explain(index, has_ended=has_ended)

        def give_up() -> None:
            if self._unexplained.get(index) is then:
                self.explained(index, None, "", "")

        self._call_at(time.monotonic() + _EXPLAIN_S, give_up)

    def explained(self, index: int, state: LaunchState | None, tail: str, command: str) -> None:
        """A launch has answered."""
        then = self._unexplained.pop(index, None)
        if then is not None:
            then(state, tail, command)

    def _lost_with(
        self,
        record: SlaveRecord,
        how: str,
        is_charged: bool,
        state: LaunchState | None,
        tail: str,
        command: str,
    ) -> None:
        parts = [how]
        if state is not None and state.phase is LaunchPhase.ENDED:
            parts.append(_describe_exit(state))
        text = "; ".join(part for part in parts if part)
        if not record.has_joined and command:
            text += f"\n    command: {command}"
        self._lost(record, text + _quote_output(record, tail), is_charged=is_charged)

    def _lost(self, record: SlaveRecord, text: str, *, is_charged: bool) -> None:
        """A slave has gone for good; perhaps another takes its place."""
        if record.state is SlaveState.GONE:
            return
        self._unexplained.pop(record.index, None)
        self._disconnect(record)
        record.failure = f"{record}: {text}"
        record.held = None
        record.runner_pid = None
        _logger.warning("lost %s", record.failure)
        self._enter(record, SlaveState.GONE, text.splitlines()[0])
        cause = f"on {record}, the whole slave was lost: {text}"
        now = time.monotonic()
        self._perform(self._scheduler.slave_lost(record.index, is_charged, cause, now))

    def close(self, grace_s: float) -> None:
        """Tell all slaves to leave, and their launches to see to it."""
        for record in self.records.values():
            record.send(protocol.LEAVE)
            self._flush(record)
        for watch in self._watches:
            watch.cancel(grace_s)

    def join(self, deadline: float) -> list[str]:
        """Wait for the launches' threads; return those that are still busy."""
        for watch in self._watches:
            watch.join(max(0.0, deadline - time.monotonic()))
        return [watch.name for watch in self._watches if watch.is_alive()]

    def abandon(self) -> None:
        """Close this process's ends of all streams and nothing else."""
        for record in self.records.values():
            if record.stream is not None:
                record.stream.close()
                record.stream = None
        self.selector.close()

    def _enter(self, record: SlaveRecord, state: SlaveState, detail: str = "") -> None:
        if record.enter(state, detail):
            self._changed(record)


class _PostedReports(LaunchReports):
    """Brings the reports of launch threads into the engine's."""

    def __init__(self, fleet: Fleet, post: Callable[[Callable[[], None]], None]) -> None:
        self._fleet = fleet
        self._post = post

    def launch_failed(self, indices: Sequence[int], error: Exception) -> None:
        self._post(lambda: self._fleet.launch_failed(indices, error))

    def stream_made(self, index: int, stream: Stream) -> None:
        self._post(lambda: self._fleet.stream_made(index, stream))

    def launch_state(self, index: int, state: LaunchState) -> None:
        self._post(lambda: self._fleet.launch_state(index, state))

    def explained(self, index: int, state: LaunchState | None, tail: str, command: str) -> None:
        self._post(lambda: self._fleet.explained(index, state, tail, command))


def _quote_output(record: SlaveRecord, tail: str) -> str:
    path = record.bootstrap.output_path
    if path is None:
        return ""
    if not tail:
        return f"\n    its output ({path}) is empty"
    quoted = "\n".join(f"    | {line}" for line in tail.splitlines())
    return f"\n    the end of its output ({path}):\n{quoted}"


def _describe_exit(state: LaunchState) -> str:
    if state.exit_code is None:
        return state.detail
    if state.exit_code < 0:
        return f"killed by signal {-state.exit_code}"
    return f"exit code {state.exit_code}"
