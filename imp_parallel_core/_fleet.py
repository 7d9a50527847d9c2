"""The slaves as the engine sees them: launched, connected, heard, lost.

Turns what happens to slaves into the scheduler's events. Runs in the engine's thread only, but for
the reports of launch threads, which are posted to it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import _messages as messages
from . import _protocol as protocol
from ._actions import Action, Outcome, OutcomeKind
from ._errors import Error
from ._evidence import Evidence, Inquiries
from ._handshake import PYTHON, refusal, refusal_of, welcome
from ._launch_watch import LaunchReports, LaunchWatch
from ._launching import LaunchPhase, LaunchState
from ._link import Link
from ._plugins import Plugins
from ._protocol import VERSION, Message
from ._slave_info import SlaveState
from ._slave_record import SlaveRecord

if TYPE_CHECKING:
    from ._loop import Loop
    from ._scheduler import Scheduler
    from ._stream import Stream

_logger = logging.getLogger("imp_parallel.slaves")

_CHECKS_IN_TIMEOUT = 4
_RECONNECT_S = 60.0


class Fleet:
    """All slaves of a Manager.

    Args:
        scheduler: what to tell about slaves.
        perform: performs the scheduler's actions.
        plugins: who launches.
        loop: the engine's.
        changed: is told a record whose state has changed.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        perform: Callable[[list[Action]], None],
        plugins: Plugins,
        loop: Loop[Any],
        changed: Callable[[SlaveRecord], None],
    ) -> None:
        self.records: dict[int, SlaveRecord] = {}
        self._scheduler = scheduler
        self._perform = perform
        self._plugins = plugins
        self._loop = loop
        self._call_at = loop.call_at
        self._reports = _PostedReports(self, loop.post)
        self._changed = changed
        self._inquiries = Inquiries(loop.call_at)
        self._watches: list[LaunchWatch] = []
        self._unflushed: dict[int, Link] = {}

    # ---- launching

    def launch(self, records: Sequence[SlaveRecord]) -> None:
        """Launch slaves that are described by one description."""
        for record in records:
            self.records[record.index] = record
            is_relaunchable = record.description.is_relaunchable
            self._perform(self._scheduler.slave_added(record.index, is_relaunchable))
            self._changed(record)
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
            record.host = ""
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
            self._lose(record, "it ended before it had connected", is_charged=False)
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
            self._lose(record, text, is_charged=False)

    # ---- connections

    def stream_made(self, index: int, stream: Stream) -> None:
        """A slave's stream is there; the slave introduces itself over it."""
        record = self.records[index]
        if record.state is SlaveState.GONE or record.link is not None:
            stream.close()  # too late, or another that claims to be this slave
            return
        link = Link(
            stream,
            self._loop.selector,
            greeted=lambda link, kind, body: self._greeted(record, link, kind, body),
            received=lambda link, message: self._received(record, link, message),
            ended=lambda link, how: self._ended(record, link, how),
            wake=self._loop.post,
        )
        record.begin_session(link)

    def _greeted(self, record: SlaveRecord, link: Link, kind: int, body: bytes) -> None:
        """Compare versions with a slave, before anything of it is unpickled."""
        try:
            if kind != protocol.HELLO:
                raise ValueError("it did not begin with a HELLO")
            hello: dict[str, Any] = json.loads(body)
            host, pid = str(hello["host"]), int(hello["pid"])
        except (ValueError, KeyError, TypeError) as problem:
            self._break(record, link, f"its introduction can't be read: {problem}")
            return
        import cloudpickle

        own = {"protocol": VERSION, "python": PYTHON, "cloudpickle": cloudpickle.__version__}
        reason = refusal_of(master=own, slave=hello)
        if reason is not None:
            link.connection.send_control(protocol.REFUSE, refusal(reason))
            link.flush()
            self._break(record, link, reason)
            return
        record.host, record.pid = host, pid
        greeting = welcome(cloudpickle.__version__, record.heartbeat_timeout_s, _RECONNECT_S)
        link.connection.send_control(protocol.WELCOME, greeting)
        self._unflushed[record.index] = link
        self._enter(record, SlaveState.CONNECTED)
        if record.watch is not None:
            record.watch.connected(record.index)
        self._check_heard(record, link)

    def _check_heard(self, record: SlaveRecord, link: Link) -> None:
        """Suspect a slave that has been silent for too long; ask again later."""
        if not link.is_open:
            return
        now = time.monotonic()
        silent_s = now - link.heard_at
        is_suspected = record.state is SlaveState.SUSPECTED
        if is_suspected and silent_s < record.heartbeat_timeout_s:
            self._heard_again(record, link)
        elif not is_suspected and silent_s >= record.heartbeat_timeout_s:
            _logger.warning("%s has not been heard for %.1f s", record, silent_s)
            self._enter(record, SlaveState.SUSPECTED, f"not heard for {silent_s:.0f} s")
            self._perform(self._scheduler.slave_suspected(record.index, now))
        next_check = now + record.heartbeat_timeout_s / _CHECKS_IN_TIMEOUT
        self._call_at(next_check, lambda: self._check_heard(record, link))

    def _heard_again(self, record: SlaveRecord, link: Link) -> None:
        _logger.warning("%s is heard again", record)
        self._enter(record, SlaveState.LEAVING if record.is_leaving else SlaveState.IDLE)
        self._perform(self._scheduler.slave_heard(record.index, link.heard_at))

    def send(
        self, index: int, kind: int, head: bytes = b"", segments: Sequence[protocol.Buffer] = ()
    ) -> None:
        """Queue a message for a slave, if it is connected."""
        link = self.records[index].link
        if link is not None:
            link.send(kind, head, segments)
            self._unflushed[index] = link

    def flush(self) -> None:
        """Write what has been queued, as far as it is taken without waiting."""
        unflushed, self._unflushed = self._unflushed, {}
        for link in unflushed.values():
            link.flush()

    # ---- what slaves say

    def _received(self, record: SlaveRecord, link: Link, message: Message) -> None:
        """Take a message, or keep it until the loss before it has been explained."""
        if record.state is SlaveState.SUSPECTED:
            self._heard_again(record, link)
        if record.held is not None:
            record.held.append(message)
        else:
            self._receive(record, link, message)

    def _receive(self, record: SlaveRecord, link: Link, message: Message) -> None:
        kind, head, segments = message
        now, index = link.heard_at, record.index
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
            self._runner_lost(record, link, message)
        elif kind == protocol.LEAVING:
            self._leaving(record, bytes(segments[0]).decode(errors="replace"))
        else:
            self._break(record, link, f"it broke the protocol: a message of kind {kind}")

    def _leaving(self, record: SlaveRecord, reason: str) -> None:
        record.is_leaving = True
        _logger.warning("%s leaves: it %s", record, reason)
        self._enter(record, SlaveState.LEAVING, reason)
        self._perform(self._scheduler.slave_leaving(record.index))

    def _runner_lost(self, record: SlaveRecord, link: Link, message: Message) -> None:
        item, peak_memory_bytes, was_asked = messages.unpack_runner_lost(message.head)
        how = bytes(message.segments[0]).decode(errors="replace")
        blamed = 0 if was_asked else item
        cause = f"on {record}, its runner {how}; peak memory {peak_memory_bytes / 1e6:.0f} MB"
        record.runner_pid = None
        record.bundles_sent.clear()
        if not record.is_leaving:
            self._enter(record, SlaveState.CONNECTED, f"its runner {how}")
        record.held = []  # what follows comes from the next runner: it waits for the explanation
        if not blamed:
            self._tell_runner_lost(record, link, 0, cause)
            return
        _logger.warning("%s: its runner %s", record, how)

        def then(evidence: Evidence) -> None:
            self._tell_runner_lost(record, link, blamed, cause + evidence.of_output(record))

        self._inquiries.ask(record, then, has_ended=False)

    def _tell_runner_lost(self, record: SlaveRecord, link: Link, blamed: int, cause: str) -> None:
        held, record.held = record.held, None
        if record.state is SlaveState.GONE:
            return
        self._perform(self._scheduler.runner_lost(record.index, blamed, cause, time.monotonic()))
        for message in held or ():
            self._received(record, link, message)
        if not link.is_open:  # it ended meanwhile
            self._ended(record, link, "its connection ended")

    # ---- ends

    def _break(self, record: SlaveRecord, link: Link, how: str) -> None:
        link.close()
        self._ended(record, link, how)

    def _ended(self, record: SlaveRecord, link: Link, how: str) -> None:
        """A slave's stream has ended: the slave is lost, once its launch has said how."""
        if record.link is not link or record.held is not None:
            return
        record.link = None
        if record.is_leaving:
            self._lost(record, f"left: it {record.detail}", is_charged=False)
        else:
            self._lose(record, how, is_charged=True)

    def _lose(self, record: SlaveRecord, how: str, *, is_charged: bool) -> None:
        """A slave is lost; ask how it ended before anything is decided."""

        def then(evidence: Evidence) -> None:
            self._lost(record, evidence.of_end(record, how), is_charged=is_charged)

        self._inquiries.ask(record, then, has_ended=True)

    def _lost(self, record: SlaveRecord, text: str, *, is_charged: bool) -> None:
        """A slave has gone for good; perhaps another takes its place."""
        if record.state is SlaveState.GONE:
            return
        self._inquiries.drop(record.index)
        record.end_session()
        record.failure = f"{record}: {text}"
        _logger.warning("lost %s", record.failure)
        self._enter(record, SlaveState.GONE, text.splitlines()[0])
        cause = f"on {record}, the whole slave was lost: {text}"
        now = time.monotonic()
        self._perform(self._scheduler.slave_lost(record.index, is_charged, cause, now))

    def close(self, grace_s: float) -> None:
        """Tell all slaves to leave, and their launches to see to it."""
        for record in self.records.values():
            if record.link is not None:
                if record.host:  # before that, the end of its stream tells it
                    record.link.send(protocol.LEAVE)
                record.link.flush()
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
            if record.link is not None:
                record.link.abandon()

    def explained(self, index: int, evidence: Evidence) -> None:
        """A launch has answered."""
        self._inquiries.answer(index, evidence)

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
        self._post(lambda: self._fleet.explained(index, Evidence(state, tail, command)))
